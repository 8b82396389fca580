//! The background tasks of a server, in one set and by name. The end of any of them is
//! the end of the server: a server whose pruner or feed is gone would go on answering,
//! and do only half of its work unnoticed.

#[cfg(debug_assertions)]
mod fail_point;

use std::{any::Any, collections::HashMap, fmt, sync::Arc, time::Duration};

use tokio::{
    task::{AbortHandle, Id, JoinError, JoinSet},
    time::{Instant, timeout, timeout_at},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::health::HealthStatus;

/// A background task of a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BackgroundTask {
    /// Accepts connections.
    Grpc,
    /// Reconciles what is due, woken by commits.
    CoordinatorPrimary,
    /// Reconciles what is due when one batch is not enough.
    CoordinatorSecondary,
    /// Deletes rows past retention.
    Pruner,
    /// Asks whether the database answers.
    DatabaseProbe,
    /// Reads the file of credentials again when it changes.
    CredentialsReload,
    /// Reads the files of TLS again when they change.
    TlsReload,
    /// Follows the event log, for watches of deployments and of traffic.
    LogReader,
    /// Reads open assignments, for those who watch them.
    AssignmentReader,
    /// Exchanges notifications of commits with other servers.
    Relay,
    /// Waits for a failure of the thread that checkpoints a SQLite file.
    Checkpointer,
    /// Writes down when routes were last reported, and ends health past its TTL.
    HealthTtl,
    /// Ends replies that are not taken.
    ReplySweep,
    /// Serves metrics.
    Metrics,
    /// Watches over all others. It is the one that is not in the set.
    Supervisor,
}

/// A background task that ended without being asked to. Displays as one sentence.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the background task {task} {end}")]
pub struct TaskFailure {
    /// Which task.
    pub task: BackgroundTask,
    /// How it ended.
    pub end: TaskEnd,
}

/// How a background task ended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TaskEnd {
    /// It returned.
    #[error("ended")]
    Returned,
    /// It panicked, with this message.
    #[error("panicked: {0}")]
    Panicked(String),
    /// It was cut off.
    #[error("was cut off")]
    Aborted,
}

/// When tasks are to end.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shutdown {
    /// Ends the intake: no new calls, no new batches. Streams end.
    pub(crate) calls: CancellationToken,
    /// Ends what the last calls still need: their commits are announced, their reports
    /// are written down.
    pub(crate) background: CancellationToken,
    /// The open connections. Not in the set: they outlive the task that accepts them, whose end
    /// is reported over them.
    pub(crate) connections: TaskTracker,
    /// Ends connections that take too long to end by themselves.
    pub(crate) cut_off: CancellationToken,
}

/// The running background tasks of a server.
pub(crate) struct TaskSet {
    tasks: JoinSet<()>,
    running: HashMap<Id, (BackgroundTask, AbortHandle)>,
    shutdown: Shutdown,
    #[cfg(debug_assertions)]
    fail_point: fail_point::FailPoint,
    /// How long calls may take to end.
    grace: Duration,
    /// How long the rest may take after the last call.
    flush_timeout: Duration,
}

impl BackgroundTask {
    /// All that are in the set.
    pub const ALL: [Self; 14] = [
        Self::Grpc,
        Self::CoordinatorPrimary,
        Self::CoordinatorSecondary,
        Self::Pruner,
        Self::DatabaseProbe,
        Self::CredentialsReload,
        Self::TlsReload,
        Self::LogReader,
        Self::AssignmentReader,
        Self::Relay,
        Self::Checkpointer,
        Self::HealthTtl,
        Self::ReplySweep,
        Self::Metrics,
    ];

    /// Its name in the log, and in the last line of a program that ends with it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Grpc => "grpc",
            Self::CoordinatorPrimary => "coordinator-primary",
            Self::CoordinatorSecondary => "coordinator-secondary",
            Self::Pruner => "pruner",
            Self::DatabaseProbe => "database-probe",
            Self::CredentialsReload => "credentials-reload",
            Self::TlsReload => "tls-reload",
            Self::LogReader => "log-reader",
            Self::AssignmentReader => "assignment-reader",
            Self::Relay => "relay",
            Self::Checkpointer => "checkpointer",
            Self::HealthTtl => "health-ttl",
            Self::ReplySweep => "reply-sweep",
            Self::Metrics => "metrics",
            Self::Supervisor => "supervisor",
        }
    }

    /// Whether it ends with the calls. The others end after the last call.
    fn ends_with_calls(self) -> bool {
        match self {
            Self::Grpc
            | Self::CoordinatorPrimary
            | Self::CoordinatorSecondary
            | Self::Pruner
            | Self::DatabaseProbe
            | Self::CredentialsReload
            | Self::TlsReload => true,
            Self::LogReader
            | Self::AssignmentReader
            | Self::Relay
            | Self::Checkpointer
            | Self::HealthTtl
            | Self::ReplySweep
            | Self::Metrics
            | Self::Supervisor => false,
        }
    }
}

impl TaskSet {
    pub(crate) fn new(shutdown: Shutdown) -> Self {
        Self {
            tasks: JoinSet::new(),
            running: HashMap::new(),
            shutdown,
            #[cfg(debug_assertions)]
            fail_point: fail_point::FailPoint::from_env(),
            grace: GRACE,
            flush_timeout: FLUSH_TIMEOUT,
        }
    }

    /// Starts a task that ends by itself once its token is cancelled.
    pub(crate) fn spawn(
        &mut self,
        task: BackgroundTask,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        #[cfg(debug_assertions)]
        let work = self.fail_point.guard(task, work);
        let handle = self.tasks.spawn(work);
        self.running.insert(handle.id(), (task, handle));
    }

    /// Starts a task that runs for ever, and is dropped at the shutdown.
    pub(crate) fn spawn_loop(
        &mut self,
        task: BackgroundTask,
        work: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = match task.ends_with_calls() {
            true => self.shutdown.calls.clone(),
            false => self.shutdown.background.clone(),
        };
        self.spawn(task, async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = work => {}
            }
        });
    }

    /// Waits for the shutdown, or for a task that ends before it. Then ends all tasks in
    /// order: calls first, and after the last call what it may have needed.
    pub(crate) async fn supervise(mut self, health: Arc<HealthStatus>) -> Result<(), TaskFailure> {
        let calls = self.shutdown.calls.clone();
        let failure = tokio::select! {
            // A task that ends because it was asked to is no failure.
            biased;
            () = calls.cancelled() => None,
            ended = self.next_end() => ended,
        };
        if let Some(TaskFailure { task, end }) = &failure {
            tracing::error!(%task, %end, "a background task ended: the server ends");
        }
        // First, or load balancers send calls to a server that takes no more.
        health.end().await;
        calls.cancel();
        let deadline = Instant::now() + self.grace;
        self.drain(self.grace, BackgroundTask::ends_with_calls)
            .await;
        self.drain_connections(deadline).await;
        self.shutdown.background.cancel();
        self.drain(self.flush_timeout, |_| true).await;
        failure.map_or(Ok(()), Err)
    }

    /// Waits for the end of some tasks, and cuts off those that take too long.
    async fn drain(&mut self, grace: Duration, is_meant: fn(BackgroundTask) -> bool) {
        let drained = timeout(grace, async {
            while self.running.values().any(|(task, _)| is_meant(*task)) {
                if let Some(TaskFailure { task, end }) = self.next_end().await
                    && end != TaskEnd::Returned
                {
                    tracing::error!(%task, %end, "a background task failed at the shutdown");
                }
            }
        });
        if drained.await.is_ok() {
            return;
        }
        for (task, handle) in self.running.values().filter(|(task, _)| is_meant(*task)) {
            tracing::warn!(%task, "did not end in time and was cut off");
            // A blocking task cannot be aborted; the runtime ends it with the process.
            handle.abort();
        }
    }

    /// Waits for the end of all connections, and cuts off those that take too long.
    async fn drain_connections(&self, deadline: Instant) {
        let connections = &self.shutdown.connections;
        // Without this the wait would not end: a tracker that is open may get more.
        connections.close();
        if timeout_at(deadline, connections.wait()).await.is_err() {
            let count = connections.len();
            tracing::warn!(count, "connections did not end in time and were cut off");
        }
        self.shutdown.cut_off.cancel();
    }

    /// The next task that ends, and how. None when there are no more.
    async fn next_end(&mut self) -> Option<TaskFailure> {
        let ended = self.tasks.join_next_with_id().await?;
        let (id, end) = match ended {
            Ok((id, ())) => (id, TaskEnd::Returned),
            Err(error) => (error.id(), error.into()),
        };
        let (task, _) = self.running.remove(&id)?;
        Some(TaskFailure { task, end })
    }
}

impl fmt::Display for BackgroundTask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<JoinError> for TaskEnd {
    fn from(error: JoinError) -> Self {
        match error.try_into_panic() {
            Ok(panic) => Self::Panicked(panic_message(&*panic).to_owned()),
            Err(_) => Self::Aborted,
        }
    }
}

/// What a panic says.
pub(crate) fn panic_message(panic: &(dyn Any + Send)) -> &str {
    let message = panic.downcast_ref::<String>().map(String::as_str);
    let message = message.or_else(|| panic.downcast_ref::<&str>().copied());
    message.unwrap_or("no message")
}

// With the second for the flush and that for the last traces, the server ends within 10 s.
const GRACE: Duration = Duration::from_secs(8);
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{future::pending, sync::Mutex};

    use tokio::time::{Instant, sleep};
    use tonic::Request;
    use tonic_health::{
        pb::{
            HealthCheckRequest, health_check_response::ServingStatus, health_server::Health as _,
        },
        server::{HealthService, health_reporter},
    };

    use super::*;

    #[tokio::test]
    async fn a_task_that_panics_or_ends_is_the_failure() {
        for task in BackgroundTask::ALL {
            let failure = supervised(task, async { panic!("a bug") }).await;
            let end = TaskEnd::Panicked("a bug".to_owned());
            assert_eq!(failure, Err(TaskFailure { task, end }));
            let failure = supervised(task, async {}).await.expect_err("it ended");
            let sentence = format!("the background task {task} ended");
            assert_eq!(failure.to_string(), sentence);
        }
    }

    #[tokio::test]
    async fn a_shutdown_is_no_failure_and_ends_calls_first() {
        let shutdown = Shutdown::default();
        let mut tasks = TaskSet::new(shutdown.clone());
        let ends = Arc::new(Mutex::new(Vec::new()));
        for task in [BackgroundTask::HealthTtl, BackgroundTask::Grpc] {
            let (ends, shutdown) = (Arc::clone(&ends), shutdown.clone());
            let token = match task.ends_with_calls() {
                true => shutdown.calls,
                false => shutdown.background,
            };
            tasks.spawn(task, async move {
                token.cancelled().await;
                sleep(MOMENT).await;
                ends.lock().expect("no panic").push(task);
            });
        }
        let health = Arc::new(HealthStatus::new(health_reporter().0, &[]).await);
        shutdown.calls.cancel();
        assert_eq!(tasks.supervise(health).await, Ok(()));
        let expected = [BackgroundTask::Grpc, BackgroundTask::HealthTtl];
        assert_eq!(*ends.lock().expect("no panic"), expected);
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_cut_off() {
        let shutdown = Shutdown::default();
        let mut tasks = TaskSet::new(shutdown.clone());
        (tasks.grace, tasks.flush_timeout) = (MOMENT, MOMENT);
        for task in BackgroundTask::ALL {
            tasks.spawn(task, pending());
        }
        shutdown.calls.cancel();
        let health = Arc::new(HealthStatus::new(health_reporter().0, &[]).await);
        let begun = Instant::now();
        assert_eq!(tasks.supervise(health).await, Ok(()));
        assert!(begun.elapsed() >= 2 * MOMENT, "each has its time");
    }

    #[tokio::test]
    async fn health_is_not_serving_when_calls_begin_to_end() {
        let shutdown = Shutdown::default();
        let (reporter, _) = health_reporter();
        let service = HealthService::from_health_reporter(reporter.clone());
        let health = Arc::new(HealthStatus::new(reporter, &["a.Service"]).await);
        let mut tasks = TaskSet::new(shutdown.clone());
        let seen = Arc::new(Mutex::new(Vec::new()));
        tasks.spawn(BackgroundTask::Pruner, async {});
        tasks.spawn(BackgroundTask::Grpc, {
            let seen = Arc::clone(&seen);
            async move {
                shutdown.calls.cancelled().await;
                for service_name in ["", "a.Service"] {
                    let request = HealthCheckRequest {
                        service: service_name.to_owned(),
                    };
                    let reply = service.check(Request::new(request)).await;
                    let status = reply.expect("it is known").into_inner().status();
                    seen.lock().expect("no panic").push(status);
                }
            }
        });
        let ended = tasks.supervise(health).await;
        ended.expect_err("the pruner ended");
        let expected = [ServingStatus::NotServing; 2];
        assert_eq!(*seen.lock().expect("no panic"), expected);
    }

    const MOMENT: Duration = Duration::from_millis(20);

    async fn supervised(
        task: BackgroundTask,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> Result<(), TaskFailure> {
        let mut tasks = TaskSet::new(Shutdown::default());
        for other in BackgroundTask::ALL {
            if other != task {
                tasks.spawn_loop(other, pending());
            }
        }
        tasks.spawn(task, work);
        let health = Arc::new(HealthStatus::new(health_reporter().0, &[]).await);
        tasks.supervise(health).await
    }
}
