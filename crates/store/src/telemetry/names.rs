//! The names and descriptions of all metrics of the store. Names follow Prometheus; times
//! are in seconds.

use metrics::{Label, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge};

use viridian_engine::telemetry::{self as engine, CONNECTION_WAIT, TRANSACTION_DURATION};

use crate::error::UnitError;

/// Units of work that ended, by `unit` and `outcome`.
pub(super) const UNITS: &str = "viridian_units_total";
/// How long units of work took, by `unit`.
pub(super) const UNIT_DURATION: &str = "viridian_unit_duration_seconds";
/// How late due deployments were reconciled.
pub(crate) const RECONCILE_LATENESS: &str = "viridian_cycle_lateness_seconds";
/// Moves that were recorded, by `phase` and `result`.
pub(super) const MOVES: &str = "viridian_moves_total";
/// Routes that failed, by the role of their `revision`.
pub(super) const ROUTES_FAILED: &str = "viridian_routes_failed_total";
/// Promotions, by `kind` and `outcome`.
pub(super) const PROMOTIONS: &str = "viridian_promotions_total";
/// Rollouts that ended, by `outcome`.
pub(super) const ROLLOUTS: &str = "viridian_rollouts_total";
/// How long rollouts took, by `outcome`.
pub(super) const ROLLOUT_DURATION: &str = "viridian_rollout_duration_seconds";
/// How long rollouts waited at the gate.
pub(super) const GATE_WAIT: &str = "viridian_gate_wait_seconds";

/// How often the clock was set while this server ran, by `direction`.
pub(crate) const CLOCK_JUMPS: &str = "viridian_clock_jumps_total";
/// By how much the time that decides differs from the database's clock.
pub(crate) const CLOCK_CORRECTION: &str = "viridian_clock_correction_seconds";

/// The histograms, with the upper bounds of their buckets.
pub const HISTOGRAMS: [(&str, &[f64]); 6] = [
    (UNIT_DURATION, WORK),
    (TRANSACTION_DURATION, WORK),
    (CONNECTION_WAIT, WORK),
    (RECONCILE_LATENESS, WORK),
    (ROLLOUT_DURATION, WAITING),
    (GATE_WAIT, WAITING),
];

/// Registers the descriptions of the metrics, and sets most counters to 0: Prometheus does
/// not count a counter's first appearance as an increase.
pub(super) fn describe() {
    engine::describe();
    describe_counter!(UNITS, "Units of work that ended, by outcome.");
    describe_histogram!(UNIT_DURATION, Unit::Seconds, "How long units of work took.");
    describe_histogram!(
        RECONCILE_LATENESS,
        Unit::Seconds,
        "How long after they were due deployments were looked at."
    );
    describe_counter!(
        CLOCK_JUMPS,
        "How often the clock that decides was set while this server ran."
    );
    for direction in ["forward", "back"] {
        counter!(CLOCK_JUMPS, "direction" => direction).increment(0);
    }
    describe_gauge!(
        CLOCK_CORRECTION,
        Unit::Seconds,
        "By how much the time that decides differs from the database's clock, since that was set."
    );
    gauge!(CLOCK_CORRECTION).set(0.0);
    describe_counter!(MOVES, "Entries of the history of deployments.");
    describe_counter!(
        ROUTES_FAILED,
        "Routes that could not be started, or ended without having been drained."
    );
    describe_counter!(PROMOTIONS, "Promotions, by kind and outcome.");
    describe_counter!(ROLLOUTS, "Rollouts that ended, by outcome.");
    describe_histogram!(ROLLOUT_DURATION, Unit::Seconds, "How long rollouts took.");
    describe_histogram!(
        GATE_WAIT,
        Unit::Seconds,
        "How long rollouts waited at the gate."
    );
    counter!(PROMOTIONS, "kind" => "automatic", "outcome" => "promoted").increment(0);
    for outcome in ["promoted", "refused", "failed"] {
        counter!(PROMOTIONS, "kind" => "manual", "outcome" => outcome).increment(0);
    }
}

/// Sets the counters to 0 that may have the label of a project.
pub(super) fn begin_at_zero(project: &[Label]) {
    let labels = |key, value| {
        let own = Label::from_static_parts(key, value);
        [std::slice::from_ref(&own), project].concat()
    };
    for outcome in ROLLOUT_OUTCOMES {
        counter!(ROLLOUTS, labels("outcome", outcome)).increment(0);
    }
    for role in ["current", "deploying", "other"] {
        counter!(ROUTES_FAILED, labels("revision", role)).increment(0);
    }
}

/// How rollouts end.
const ROLLOUT_OUTCOMES: [&str; 4] = ["promoted", "rolled_back", "superseded", "deleted"];

/// Counts a requested promotion that was refused or failed.
pub(crate) fn count_not_promoted<R>(error: &UnitError<R>) {
    let outcome = match error {
        UnitError::Store(_) => "failed",
        _ => "refused",
    };
    counter!(PROMOTIONS, "kind" => "manual", "outcome" => outcome).increment(1);
}

/// From the time of one SQLite statement to the longest that callers wait.
const WORK: &[f64] = &[
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

/// From a second to a month, the longest duration in a policy.
const WAITING: &[f64] = &[
    1.0,
    5.0,
    15.0,
    30.0,
    60.0,
    120.0,
    300.0,
    600.0,
    1800.0,
    3600.0,
    14_400.0,
    86_400.0,
    604_800.0,
    2_592_000.0,
];
