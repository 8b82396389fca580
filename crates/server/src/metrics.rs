//! The metrics of the server, by name and meaning. Those of the store are in
//! [`viridian_store::describe_metrics`]. Names follow Prometheus; times are in seconds.

mod census;
mod endpoint;
mod gauges;
mod usage;

use std::sync::{Mutex, PoisonError};

use metrics::{Unit, counter, describe_counter, describe_gauge, describe_histogram};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

pub(crate) use self::{endpoint::serve, gauges::ScrapeGauges};

/// Log lines that were dropped because stderr was not read. The program counts them.
pub const LOG_LINES_DROPPED: &str = "viridian_log_lines_dropped_total";
/// Always 1; its labels are the program's `version`, `commit` and `schema`.
pub(crate) const BUILD_INFO: &str = "viridian_build_info";
/// Calls begun, by `method`.
pub(crate) const RPC_STARTED: &str = "viridian_rpc_started_total";
/// Calls ended, by `method` and `code`.
pub(crate) const RPC_HANDLED: &str = "viridian_rpc_handled_total";
/// Time from the arrival of a call to its end, by `method`; not of streams.
pub(crate) const RPC_DURATION: &str = "viridian_rpc_duration_seconds";
/// Calls under way, without streams.
pub(crate) const RPC_IN_FLIGHT: &str = "viridian_rpc_in_flight";
/// Streams that are open, by `method`.
pub(crate) const RPC_STREAMS: &str = "viridian_rpc_streams";
/// Calls refused by a limit, by `limit`.
pub(crate) const RPC_REJECTED: &str = "viridian_rpc_rejected_total";
/// Calls that ended in a panic.
pub(crate) const RPC_PANICS: &str = "viridian_rpc_panics_total";
/// Connections that are open.
pub(crate) const CONNECTIONS: &str = "viridian_connections";
/// Connections refused because there are too many, of their address or in all.
pub(crate) const CONNECTIONS_REJECTED: &str = "viridian_connections_rejected_total";
/// Connections closed before their first frame, to make room for newer ones.
pub(crate) const HANDSHAKES_EVICTED: &str = "viridian_handshakes_evicted_total";
/// Connections that were asked to end because of their age.
pub(crate) const CONNECTIONS_AGED: &str = "viridian_connections_aged_total";
/// Passes over the due queue, by `outcome`: `worked`, `idle` or `failed`.
pub(crate) const PASSES: &str = "viridian_due_queue_passes_total";
/// Cycles of deployments.
pub(crate) const CYCLES: &str = "viridian_cycles_total";
/// Cycles that failed.
pub(crate) const CYCLES_FAILED: &str = "viridian_cycles_failed_total";
/// Routes whose health ended because it was not reported again in time.
pub(crate) const HEALTH_SILENCED: &str = "viridian_health_silenced_total";
/// Deployments that are set aside because their cycle failed.
pub(crate) const SET_ASIDE: &str = "viridian_deployments_set_aside";
/// Deployments, by `lifecycle`, `sub_step`, `paused` and `availability`.
const DEPLOYMENTS: &str = "viridian_deployments";
/// Deployments whose routes keep failing.
const BACKING_OFF: &str = "viridian_deployments_backing_off";
/// Deployments whose first revision did not come up in time.
const FIRST_FAILED: &str = "viridian_first_deployments_failed";
/// Deployments whose canary has less than its step asks for.
const SHORT_CANARIES: &str = "viridian_canaries_short";
/// Routes that are not over, by `status`, `health` and `traffic`.
const ROUTES: &str = "viridian_routes";
/// How long a deployment has been in a step, the longest, by `lifecycle` and `sub_step`.
const OLDEST: &str = "viridian_deployments_oldest_seconds";
/// How far a deployment is past its deadline, the furthest, by `lifecycle` and `sub_step`.
const OVERDUE: &str = "viridian_deployments_past_deadline_seconds";
/// What a project uses, by `project` and `resource`.
const PROJECT_USAGE: &str = "viridian_project_usage";
/// What it may use, by `project` and `resource`.
const PROJECT_QUOTA: &str = "viridian_project_quota";
/// Deployments that are due.
const DUE: &str = "viridian_due_queue_depth";
/// How long the first of them has been due.
const DUE_LAG: &str = "viridian_due_queue_lag_seconds";
/// Whether the database answers.
const DATABASE_UP: &str = "viridian_database_up";
/// Connections to the database that are in use.
const CONNECTIONS_IN_USE: &str = "viridian_database_connections_in_use";
/// How many connections the pool may have.
const CONNECTIONS_LIMIT: &str = "viridian_database_connections_limit";
/// Watches of deployments.
const WATCHES: &str = "viridian_watches";
/// Watches whose buffer is full.
const WATCHES_BEHIND: &str = "viridian_watches_behind";
/// How many events the slowest watch has yet to take.
const EVENTS_BEHIND: &str = "viridian_watch_events_behind";

/// Records from now on, in this process, and gives what renders the metrics. A process
/// that never calls this records nothing.
///
/// # Errors
///
/// When another recorder is installed in this process.
pub(crate) fn install() -> Result<PrometheusHandle, InstallError> {
    let mut installed = INSTALLED.lock().unwrap_or_else(PoisonError::into_inner);
    // A process has one recorder. A second server in it, as in tests, shares that of the first.
    if let Some(handle) = &*installed {
        return Ok(handle.clone());
    }
    let duration = Matcher::Full(RPC_DURATION.to_owned());
    let mut builder = PrometheusBuilder::new().set_buckets_for_metric(duration, BUCKETS);
    for (name, buckets) in viridian_store::HISTOGRAMS {
        let name = Matcher::Full(name.to_owned());
        builder = builder.and_then(|it| it.set_buckets_for_metric(name, buckets));
    }
    let handle = builder
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(|error| InstallError(error.to_string()))?;
    describe();
    viridian_store::describe_metrics();
    Ok(installed.insert(handle).clone())
}

/// Why metrics cannot be recorded.
#[derive(Debug, thiserror::Error)]
#[error("metrics cannot be recorded: {0}")]
pub(crate) struct InstallError(String);

fn describe() {
    describe_calls();
    describe_deployments();
    begin_at_zero();
}

fn describe_calls() {
    describe_counter!(
        LOG_LINES_DROPPED,
        "Log lines that were dropped because stderr was not read."
    );
    describe_gauge!(BUILD_INFO, "Always 1; the labels say which program runs.");
    describe_counter!(RPC_STARTED, "Calls begun.");
    describe_counter!(RPC_HANDLED, "Calls ended, by code.");
    describe_histogram!(
        RPC_DURATION,
        Unit::Seconds,
        "Time from the arrival of a call to its end; not of streams."
    );
    describe_gauge!(RPC_IN_FLIGHT, "Calls under way, without streams.");
    describe_gauge!(RPC_STREAMS, "Streams that are open.");
    describe_counter!(RPC_REJECTED, "Calls refused by a limit.");
    describe_counter!(RPC_PANICS, "Calls that ended in a panic.");
    describe_gauge!(CONNECTIONS, "Connections that are open.");
    describe_counter!(
        CONNECTIONS_REJECTED,
        "Connections refused because there are too many, of their address or in all."
    );
    describe_counter!(
        HANDSHAKES_EVICTED,
        "Connections closed before their first frame, to make room for newer ones."
    );
    describe_counter!(
        CONNECTIONS_AGED,
        "Connections that were asked to end because of their age."
    );
}

fn describe_deployments() {
    describe_counter!(PASSES, "Passes over the due queue, by outcome.");
    describe_counter!(CYCLES, "Cycles of deployments.");
    describe_counter!(CYCLES_FAILED, "Cycles that failed.");
    describe_counter!(
        HEALTH_SILENCED,
        "Routes that became NOT_CHECKED because their health was not reported again in time."
    );
    describe_gauge!(
        SET_ASIDE,
        "Deployments that this server has set aside because their cycle failed."
    );
    describe_gauge!(
        DEPLOYMENTS,
        "Deployments, by lifecycle and sub-step, and by how well they serve."
    );
    describe_gauge!(
        BACKING_OFF,
        "Deployments whose routes keep failing, so that the next ones wait."
    );
    describe_gauge!(
        FIRST_FAILED,
        "Deployments whose first revision did not come up in time, and has not come up since."
    );
    describe_gauge!(
        SHORT_CANARIES,
        "Deployments whose canary has less of the traffic than its step asks for."
    );
    describe_gauge!(ROUTES, "Routes that are not over, by their statuses.");
    describe_gauge!(
        OLDEST,
        Unit::Seconds,
        "How long a deployment has been in this step, the longest of those not paused."
    );
    describe_gauge!(
        OVERDUE,
        Unit::Seconds,
        "How far a deployment is past its deadline, the furthest of those not paused."
    );
    describe_gauge!(
        PROJECT_USAGE,
        "What a project with a quota uses, by resource."
    );
    describe_gauge!(
        PROJECT_QUOTA,
        "What a project may use, by resource; 0 for as much as it likes."
    );
    describe_gauge!(DUE, "Deployments that are due.");
    describe_gauge!(
        DUE_LAG,
        Unit::Seconds,
        "How long the first of them has been due."
    );
    describe_gauge!(DATABASE_UP, "Whether the database answers.");
    describe_gauge!(
        CONNECTIONS_IN_USE,
        "Connections of the pool that are in use."
    );
    describe_gauge!(CONNECTIONS_LIMIT, "How many connections the pool may have.");
    describe_gauge!(WATCHES, "Watches of deployments.");
    describe_gauge!(WATCHES_BEHIND, "Watches whose buffer is full.");
    describe_gauge!(
        EVENTS_BEHIND,
        "How many events the slowest watch has yet to take, at most."
    );
}

/// Without this, the first count of a series would be no increase for Prometheus.
fn begin_at_zero() {
    counter!(RPC_PANICS).increment(0);
    counter!(CONNECTIONS_REJECTED).increment(0);
    counter!(CONNECTIONS_AGED).increment(0);
    counter!(HANDSHAKES_EVICTED).increment(0);
    counter!(LOG_LINES_DROPPED).increment(0);
    for limit in LIMITS {
        counter!(RPC_REJECTED, "limit" => limit).increment(0);
    }
}

/// The values of the label `limit`.
const LIMITS: [&str; 12] = [
    "requests",
    "requests_per_caller",
    "streams",
    "streams_per_caller",
    "streams_per_connection",
    "memory",
    "memory_per_caller",
    "message_time",
    "probes",
    "probes_per_address",
    "rate",
    "anonymous_rate",
];

/// One for the process, like the recorder itself.
static INSTALLED: Mutex<Option<PrometheusHandle>> = Mutex::new(None);

/// From a read on SQLite to the default request timeout.
const BUCKETS: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];
