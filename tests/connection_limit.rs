//! A PostgreSQL that gives fewer connections than the server may use.

use rstest::rstest;
use url::Url;
use uuid::Uuid;
use viridian_proto::v1::CreateDeploymentRequest;

use crate::harness::{Engine, Server, TestDatabase, creation, manual};

/// What limits them.
#[derive(Clone, Copy, Debug)]
enum Limited {
    Role,
    Database,
}

/// One of the five is the server's own, for notifications.
#[rstest]
#[case::role(Limited::Role)]
#[case::database(Limited::Database)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e4_a_call_waits_for_one_of_the_connections_that_there_are(#[case] limited: Limited) {
    let database = TestDatabase::create(Engine::Postgres).await;
    let mut url: Url = database.url().parse().expect("a URL");
    let name = url.path().trim_start_matches('/').to_owned();
    let role = format!("few_{name}");
    for statement in [
        format!("CREATE ROLE {role} LOGIN PASSWORD 'few'"),
        format!("ALTER DATABASE {name} OWNER TO {role}"),
        match limited {
            Limited::Role => format!("ALTER ROLE {role} CONNECTION LIMIT {LIMIT}"),
            Limited::Database => format!("ALTER DATABASE {name} CONNECTION LIMIT {LIMIT}"),
        },
    ] {
        database.execute(&statement).await;
    }
    url.set_username(&role).expect("a user");
    url.set_password(Some("few")).expect("a password");
    let server = Server::at(url.as_str(), |command| {
        command.args(["--database-connections", "16"]);
    })
    .await;
    let api = server.api().await;
    let callers = (0..CALLERS).map(|_| {
        let api = api.clone();
        async move {
            for _ in 0..CALLS {
                let created = api.create(named()).await.expect("one of five is free");
                api.get(&created.id).await;
            }
        }
    });
    futures::future::join_all(callers).await;
    drop(server);
}

fn named() -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        name: format!("web-{}", Uuid::now_v7().simple()),
        ..creation(1, manual())
    }
}

const LIMIT: i32 = 5;
const CALLERS: usize = 40;
const CALLS: usize = 5;
