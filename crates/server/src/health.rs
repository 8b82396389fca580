//! What the health service says. Of the server as a whole (`""`): SERVING until it shuts
//! down, since a restart mends no database. Of each service by its name: whether its
//! database answers and can be written, for those who choose where to call.

use std::{sync::Arc, time::Duration};

use tokio::{
    sync::Mutex,
    time::{Instant, sleep, timeout},
};
use tonic_health::{ServingStatus, server::HealthReporter};
use viridian_store::Store;

/// What the health service says now.
pub(crate) struct HealthStatus {
    services: &'static [&'static str],
    /// None once the server shuts down: the database is irrelevant then.
    reporter: Mutex<Option<HealthReporter>>,
}

impl HealthStatus {
    /// Begins with SERVING.
    pub(crate) async fn new(reporter: HealthReporter, services: &'static [&'static str]) -> Self {
        for service in services {
            let serving = ServingStatus::Serving;
            reporter.set_service_status(service, serving).await;
        }
        Self {
            services,
            reporter: Mutex::new(Some(reporter)),
        }
    }

    /// Ends with NOT_SERVING, of the server as a whole too.
    pub(crate) async fn end(&self) {
        // Taken under the lock, so that the probe cannot say SERVING after this.
        if let Some(reporter) = self.reporter.lock().await.take() {
            for service in self.services.iter().chain(&[""]) {
                let ended = ServingStatus::NotServing;
                reporter.set_service_status(service, ended).await;
            }
        }
    }

    async fn set_services(&self, status: ServingStatus) {
        if let Some(reporter) = &*self.reporter.lock().await {
            for service in self.services {
                reporter.set_service_status(service, status).await;
            }
        }
    }
}

/// Reports for ever whether the database answers and can be written.
pub(crate) async fn probe(database: Store, health: Arc<HealthStatus>) {
    let mut reported = ServingStatus::Serving;
    let mut probed = Instant::now();
    // The first status, SERVING, was reported at the start: the database was just opened.
    loop {
        sleep(PROBE_INTERVAL).await;
        if database.write_fault().is_some() || probed.elapsed() >= WRITE_PROBE_INTERVAL {
            // What it found shows in the fault.
            let _ = timeout(ANSWER_TIMEOUT, database.probe_writes()).await;
            probed = Instant::now();
        }
        let fault = fault(&database).await;
        let status = match fault {
            None => ServingStatus::Serving,
            Some(_) => ServingStatus::NotServing,
        };
        // Without this, watchers would get the same status again and again.
        if status == reported {
            continue;
        }
        match status {
            ServingStatus::Serving => tracing::info!("the database serves again"),
            _ => tracing::warn!(why = fault.unwrap_or_default(), "not ready"),
        }
        health.set_services(status).await;
        reported = status;
    }
}

/// Returns why the database does not serve, if so. Asks only if nothing else did: the
/// coordinator asks at each poll.
async fn fault(database: &Store) -> Option<String> {
    if let Some(fault) = database.write_fault() {
        return Some(fault.to_string());
    }
    if database.unanswered_for() >= MAX_QUIET {
        // Whether it answered shows in the time since its last answer.
        let _ = timeout(ANSWER_TIMEOUT, database.now()).await;
    }
    let is_away = database.unanswered_for() >= UNAVAILABLE_AFTER;
    is_away.then(|| "the database does not answer".to_owned())
}

const PROBE_INTERVAL: Duration = Duration::from_millis(500);

/// An idle server finds out by this that its database takes no writes any more.
const WRITE_PROBE_INTERVAL: Duration = Duration::from_secs(2);

/// More than the coordinator's usual poll.
const MAX_QUIET: Duration = Duration::from_secs(2);

const ANSWER_TIMEOUT: Duration = Duration::from_secs(1);

/// Long enough that a quick restart of the database is not reported.
const UNAVAILABLE_AFTER: Duration = Duration::from_secs(5);
