//! What a caller is told when a limit on the database is reached.

use std::time::Duration;

use diesel::{Connection as _, SqliteConnection, connection::SimpleConnection as _};
use rstest::rstest;
use rstest_reuse::apply;
use tokio_postgres::NoTls;
use tonic::Code;
use uuid::Uuid;
use viridian_proto::v1::CreateDeploymentRequest;
use viridian_server::{Config, Limits, Server};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, REFERENCE, TestDatabase, creation, eventually, manual, pause, refused, within,
    },
};

/// The only connection waits for someone else.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_pool_answers_in_time(#[case] engine: Engine) {
    let limits = Limits {
        connections: 1,
        // Also for the connection that the server makes first, on a slow machine.
        acquire_timeout: Duration::from_secs(2),
        lock_timeout: Duration::from_secs(60),
        busy_timeout: Duration::from_secs(60),
        statement_timeout: Duration::from_secs(90),
        ..Limits::default()
    };
    let (database, server) = serve(engine, limits).await;
    let api = Api::connect(&url(&server)).await;
    for name in ["web", "api"] {
        let creation = CreateDeploymentRequest {
            name: name.to_owned(),
            request_id: Uuid::now_v7().to_string(),
            ..creation(0, manual())
        };
        // On a slow machine the server's own work has the only connection for long enough
        // that a call is refused. Its caller may repeat it, by its request id.
        eventually("a creation", async || {
            match api.create(creation.clone()).await {
                Ok(_) => Some(()),
                Err(refusal) if refusal.code() == Code::ResourceExhausted => None,
                Err(refusal) => panic!("{refusal:?}"),
            }
        })
        .await;
    }

    let holder = Holder::hold(&database).await;
    let waiting = tokio::spawn({
        let api = api.clone();
        async move { api.pause(pause(REFERENCE)).await }
    });
    // It may be before the other one at first, but not for ever. No other limit ends
    // before the test loses its patience.
    let refusal = eventually("a refusal", async || {
        let refusal = api.pause(pause("shop/api")).await.err()?;
        (refusal.code() == Code::ResourceExhausted).then_some(refusal)
    })
    .await;
    let details = refused(&refusal, Code::ResourceExhausted, "TOO_MANY_REQUESTS");
    assert!(details.retry_info().is_some(), "{details:?}");

    holder.release().await;
    let paused = within("the call that had it", waiting).await;
    let paused = paused.expect("it does not panic");
    // It may have found the server at work by itself, and been refused like that.
    match paused {
        Ok(deployment) => assert!(deployment.paused),
        Err(refusal) => drop(refused(
            &refusal,
            Code::ResourceExhausted,
            "TOO_MANY_REQUESTS",
        )),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_statement_that_takes_too_long_may_be_tried_again() {
    let limits = Limits {
        statement_timeout: Duration::from_secs(1),
        lock_timeout: Duration::from_millis(500),
        ..Limits::default()
    };
    let (database, server) = serve(Engine::Postgres, limits).await;
    let api = Api::connect(&url(&server)).await;
    let created = api
        .create(creation(0, manual()))
        .await
        .expect("it is created");
    database.execute(SLOW).await;
    let refusal = api
        .pause(pause(REFERENCE))
        .await
        .expect_err("it is too slow");
    let details = refused(&refusal, Code::Unavailable, "DATABASE_TIMEOUT");
    assert!(details.retry_info().is_some(), "{details:?}");
    assert!(!refusal.message().contains("statement"), "{refusal:?}");

    database.execute("DROP TRIGGER slow ON deployments").await;
    let found = api.get(REFERENCE).await;
    assert_eq!(found.generation, created.generation, "nothing was done");
    let paused = api.pause(pause(REFERENCE)).await;
    assert!(paused.expect("it is not slow any more").paused);
}

/// Has it take a minute to pause a deployment.
const SLOW: &str = "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS \
     $$ BEGIN PERFORM pg_sleep(60); RETURN NEW; END $$; \
     CREATE TRIGGER slow BEFORE UPDATE ON deployments FOR EACH ROW WHEN (NEW.paused) \
     EXECUTE FUNCTION slow()";

/// A server in this process. Stopped when it is dropped.
async fn serve(engine: Engine, limits: Limits) -> (TestDatabase, Server) {
    let database = TestDatabase::create(engine).await;
    let mut config = Config::new(database.url());
    config.limits = limits;
    let server = Server::start(config).await.expect("it starts");
    (database, server)
}

fn url(server: &Server) -> String {
    format!("http://{}", server.local_addr())
}

/// Someone who has what a call needs: a deployment on PostgreSQL, the whole file
/// on SQLite.
enum Holder {
    Postgres(tokio_postgres::Client),
    Sqlite(SqliteConnection),
}

impl Holder {
    async fn hold(database: &TestDatabase) -> Self {
        if let Some(path) = database.url().strip_prefix("sqlite:") {
            let mut file = SqliteConnection::establish(path).expect("the file opens");
            let hold = "PRAGMA busy_timeout = 20000; BEGIN IMMEDIATE";
            file.batch_execute(hold).expect("it is held");
            return Self::Sqlite(file);
        }
        let session = tokio_postgres::connect(database.url(), NoTls).await;
        let (client, driver) = session.expect("it answers");
        tokio::spawn(driver);
        let hold = "BEGIN; SELECT id FROM deployments WHERE name = 'web' FOR UPDATE";
        client.batch_execute(hold).await.expect("it is held");
        Self::Postgres(client)
    }

    async fn release(self) {
        match self {
            Self::Postgres(client) => client.batch_execute("COMMIT").await.expect("it is let go"),
            Self::Sqlite(mut file) => file.batch_execute("COMMIT").expect("it is let go"),
        }
    }
}
