//! Somebody sets the clock that decides while a server runs. What waits for a time goes by what
//! has really passed.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use rstest::rstest;
use rstest_reuse::apply;
use tempfile::TempDir;
use viridian_proto::v1::{
    BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, METRICS, RouteBehavior, Server, TestDatabase, TestEnv, blue_green, hold_for,
        seconds, set_clock_off,
    },
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_clock_that_is_set_forward_shortens_no_delay(#[case] engine: Engine) {
    let (dial, server) = ClockDial::server(engine).await;
    let env = TestEnv::on(server).await;
    env.serving(1, delayed()).await;
    let began = Instant::now();
    let gate = env.bring_up().await;
    dial.set("+1h").await;
    let promoted = env
        .until("the promotion", |it| {
            it.current_revision_id == gate.deploying_revision_id
        })
        .await;
    assert!(began.elapsed() > DELAY, "{:?}", began.elapsed());
    assert_eq!(promoted.lifecycle(), DeploymentLifecycle::Ready);
    env.server.logs("clock was set").await;
    let jumps = env.server.metrics().await.value(JUMPS_FORWARD);
    assert!((jumps - 1.0).abs() < f64::EPSILON, "{jumps}");
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_clock_that_is_set_forward_ends_no_rollout(#[case] engine: Engine) {
    let (dial, server) = ClockDial::server(engine).await;
    let env = TestEnv::on(server).await;
    env.serving(1, delayed()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    env.deploy().await;
    dial.set("+1h").await;
    // Its progress deadline, ten minutes, would be over.
    hold_for(Duration::from_secs(4), async || {
        let it = env.get().await;
        assert_eq!(it.sub_step(), DeploymentSubStep::Provisioning, "{it:?}");
    })
    .await;
    env.server.logs("clock was set").await;
}

/// It would wait for an hour.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_a_clock_that_is_set_back_makes_nobody_wait(#[case] engine: Engine) {
    let (dial, server) = ClockDial::server(engine).await;
    let env = TestEnv::on(server).await;
    env.serving(1, delayed()).await;
    let began = Instant::now();
    let gate = env.bring_up().await;
    dial.set("-1h").await;
    let is_promoted = |it: &Deployment| it.current_revision_id == gate.deploying_revision_id;
    env.until("the promotion", is_promoted).await;
    assert!(began.elapsed() > DELAY, "{:?}", began.elapsed());
    env.server.logs("clock was set").await;
}

/// Both notice, and one corrects it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g13_two_servers_correct_a_clock_once() {
    let (dial, server) = ClockDial::server(Engine::Postgres).await;
    let second = Server::at(server.database().url(), |command| {
        command.args(METRICS);
    })
    .await;
    let env = TestEnv::on(server).await;
    env.serving(1, delayed()).await;
    let began = Instant::now();
    let gate = env.bring_up().await;
    dial.set("+1h").await;
    let is_promoted = |it: &Deployment| it.current_revision_id == gate.deploying_revision_id;
    env.until("the promotion", is_promoted).await;
    assert!(began.elapsed() > DELAY, "{:?}", began.elapsed());
    let correction = env.server.database().number(CORRECTION).await;
    assert!((3_598..=3_602).contains(&correction), "{correction}");
    drop(second);
}

/// The clock that decides, which the test sets while a server runs.
enum ClockDial {
    /// The server's: a file that its faketime reads at each call.
    Sqlite { file: PathBuf, _folder: TempDir },
    /// A function stands before PostgreSQL's own.
    Postgres { url: String },
}

impl ClockDial {
    /// A server whose clock is right for now.
    async fn server(engine: Engine) -> (Self, Server) {
        let database = TestDatabase::create(engine).await;
        match engine {
            Engine::Sqlite => {
                let folder = tempfile::tempdir().expect("a temporary folder");
                let file = folder.path().join("faketime");
                fs::write(&file, "+0").expect("a file");
                let server = Server::on_with(database, |command| {
                    set_clock_off(command, "+0");
                    command.env_remove("FAKETIME");
                    command.env("FAKETIME_TIMESTAMP_FILE", &file);
                    command.env("FAKETIME_NO_CACHE", "1");
                    command.args(METRICS);
                })
                .await;
                let dial = Self::Sqlite {
                    file,
                    _folder: folder,
                };
                (dial, server)
            }
            Engine::Postgres => {
                database.execute(DIAL).await;
                let name = database.url().rsplit('/').next().expect("a name");
                let path = format!("ALTER DATABASE {name} SET search_path = public, pg_catalog");
                database.execute(&path).await;
                let url = database.url().to_owned();
                let server = Server::on_with(database, |command| {
                    command.args(METRICS);
                })
                .await;
                (Self::Postgres { url }, server)
            }
        }
    }

    async fn set(&self, by: &str) {
        match self {
            Self::Sqlite { file, .. } => {
                let next = file.with_extension("next");
                fs::write(&next, by).expect("a file");
                fs::rename(next, file).expect("it is renamed");
            }
            Self::Postgres { url } => {
                let hours = by.trim_end_matches('h');
                let set = format!("UPDATE dial SET ahead = make_interval(hours => {hours})");
                let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls)
                    .await
                    .expect("it answers");
                tokio::spawn(connection);
                client.batch_execute(&set).await.expect("it is set");
            }
        }
    }
}

/// Blue-green that promotes by itself after the delay.
fn delayed() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        auto_promote: true,
        promote_delay: seconds(DELAY.as_secs_f64()),
        ..BlueGreenSpec::default()
    })
}

const DELAY: Duration = Duration::from_secs(5);

const DIAL: &str = "CREATE TABLE public.dial (ahead interval NOT NULL); \
     INSERT INTO public.dial VALUES ('0'); \
     CREATE FUNCTION public.clock_timestamp() RETURNS timestamptz LANGUAGE sql VOLATILE AS \
     'SELECT pg_catalog.clock_timestamp() + ahead FROM public.dial'";

const CORRECTION: &str = "SELECT clock_correction / 1000000 FROM horizon";

const JUMPS_FORWARD: &str = "viridian_clock_jumps_total{direction=\"forward\"}";
