//! A running server.

use std::{net::SocketAddr, panic::resume_unwind, sync::Arc};

use tokio::task::JoinHandle;
use viridian_feeds::Feeds;
use viridian_store::Store;

use crate::{
    config::{Config, StartError},
    connections::{self, ConnectionServer},
    coordinator,
    grpc::{self, SERVICES},
    health::{self, HealthStatus},
    health_ttl,
    layers::{GrpcStack, ReplyLimits},
    metrics::{self, ScrapeGauges},
    pruner,
    security::LoadedSecurity,
    server_info::ServerInfo,
    state::ServerState,
    tasks::{BackgroundTask, Shutdown, TaskFailure, TaskSet},
};

/// A running server: the services and the background tasks on one database. Stops at once
/// when it is dropped; [`Server::shutdown`] lets calls end.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    shutdown: Shutdown,
    /// Ends when all background tasks have ended.
    supervisor: JoinHandle<Result<(), TaskFailure>>,
}

impl Server {
    /// Opens the database, brings its schema up to date, and listens. Needs a
    /// multi-thread runtime.
    ///
    /// # Errors
    ///
    /// A [`StartError`] that is one clear sentence.
    pub async fn start(config: Config) -> Result<Self, StartError> {
        config.check()?;
        // Before the database: a server that cannot start must not migrate the schema first.
        let security = LoadedSecurity::load(&config)?;
        let database = Store::open_within(&config.database, config.limits).await?;
        let database = database
            .with_health_ttl(config.health_ttl)
            .with_steady_clock()
            .with_quotas(security.quotas(config.quota));
        // After the migrations: until then a caller is refused at once instead of waiting.
        let (listener, address) = grpc::listen(config.listen).await?;
        let shutdown = Shutdown::default();
        let mut tasks = TaskSet::new(shutdown.clone());
        let feeds = Feeds::new(database.clone(), config.watch);
        let info = Arc::new(ServerInfo::of(&config));
        if let Some(on) = config.metrics_listen {
            // First: counters begin at 0 with their labels.
            if config.metrics_project_label {
                viridian_store::label_projects();
            }
            let gauges = ScrapeGauges::new(database.clone(), feeds.clone());
            tasks.spawn_loop(BackgroundTask::Metrics, metrics_endpoint(on, gauges).await?);
            info.record();
        }
        let (reporter, health_service) = tonic_health::server::health_reporter();
        let health = Arc::new(HealthStatus::new(reporter, &SERVICES).await);
        let shared = ServerState::new(
            database.clone(),
            feeds.clone(),
            security.secrets.clone(),
            shutdown.calls.clone(),
        );
        let routes = grpc::services(shared, info, health_service, &config.rpc_limits)?;
        tracing::info!(%address, "serving");
        security.log_access(&config, address);
        let replies = ReplyLimits::new(&config.rpc_limits);
        tasks.spawn_loop(BackgroundTask::ReplySweep, replies.clone().sweep());
        let stack = GrpcStack {
            replies,
            limits: config.rpc_limits.clone(),
            pages: config.pages(),
            authenticator: security.authenticator,
            stop: shutdown.calls.clone(),
        };
        let connections = ConnectionServer {
            http: connections::http(&config.rpc_limits, stack.pages.is_some()),
            service: stack.around(routes.prepare()),
            limits: config.rpc_limits.clone(),
            tls: security.tls,
            shutdown: shutdown.clone(),
        };
        // Accepted only from here on: a connection before this waits in the backlog.
        tasks.spawn(BackgroundTask::Grpc, connections.accept(listener));
        for (task, reload) in security.reloads {
            tasks.spawn_loop(task, reload);
        }
        let background = BackgroundParts {
            database,
            feeds,
            health: Arc::clone(&health),
        };
        background.spawn(&mut tasks, &config, &shutdown);
        Ok(Self {
            address,
            shutdown,
            supervisor: tokio::spawn(tasks.supervise(health)),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.address
    }

    /// Resolves when the server has ended though nothing asked it to: one of its
    /// background tasks ended, and the others were ended in order. Not to be called
    /// again after that.
    pub async fn failed(&mut self) -> TaskFailure {
        match (&mut self.supervisor).await {
            Ok(Err(failure)) => failure,
            // Only a shutdown ends it without a failure, and a shutdown consumes the server.
            Ok(Ok(())) => std::future::pending().await,
            Err(error) => TaskFailure {
                task: BackgroundTask::Supervisor,
                end: error.into(),
            },
        }
    }

    /// Reports NOT_SERVING, stops accepting, lets calls end, and ends streams with
    /// UNAVAILABLE. Calls that have not ended in 8 s are cut off.
    pub async fn shutdown(mut self) {
        self.shutdown.calls.cancel();
        // What went wrong is in the log.
        let _ = (&mut self.supervisor).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.calls.cancel();
        self.shutdown.background.cancel();
        self.shutdown.cut_off.cancel();
        // With it the set of tasks is dropped, which aborts them all.
        self.supervisor.abort();
    }
}

/// What background tasks work on.
struct BackgroundParts {
    database: Store,
    feeds: Feeds,
    health: Arc<HealthStatus>,
}

impl BackgroundParts {
    /// Starts the tasks that every server has.
    fn spawn(self, tasks: &mut TaskSet, config: &Config, shutdown: &Shutdown) {
        let Self {
            database,
            feeds,
            health,
        } = self;
        coordinator::spawn(tasks, &database, config.coordinator, &shutdown.calls);
        tasks.spawn_loop(BackgroundTask::LogReader, feeds.clone().run_log_reader());
        tasks.spawn_loop(
            BackgroundTask::AssignmentReader,
            feeds.clone().run_assignment_reader(),
        );
        tasks.spawn_loop(BackgroundTask::Relay, feeds.run_relay());
        tasks.spawn_loop(BackgroundTask::Checkpointer, {
            let store = database.clone();
            // The thread has panicked: so does this task, with the same message.
            async move { resume_unwind(Box::new(store.checkpointer_failure().await)) }
        });
        tasks.spawn_loop(
            BackgroundTask::DatabaseProbe,
            health::probe(database.clone(), health),
        );
        tasks.spawn_loop(
            BackgroundTask::Pruner,
            pruner::run(database.clone(), config.retention),
        );
        // Not a loop: after the last call it writes once more.
        tasks.spawn(
            BackgroundTask::HealthTtl,
            health_ttl::run(database, config.health_ttl, shutdown.background.clone()),
        );
    }
}

/// Records metrics from now on, and listens. Gives what serves them.
async fn metrics_endpoint(
    on: SocketAddr,
    gauges: ScrapeGauges,
) -> Result<impl Future<Output = ()> + Send + use<>, StartError> {
    let handle = metrics::install().map_err(|error| StartError::Config(error.to_string()))?;
    let (listener, address) = grpc::listen(on).await?;
    tracing::info!(%address, "serving metrics");
    Ok(metrics::serve(listener, handle, gauges))
}
