//! A PostgreSQL that takes no writes, for a while or at the start.

use rstest::rstest;
use tonic::Code;
use tonic_health::pb::health_check_response::ServingStatus::{NotServing, Serving};
use uuid::Uuid;
use viridian_proto::v1::CreateDeploymentRequest;

use crate::{
    harness::{Cluster, Server, creation, finish, manual, refused, viridian},
    health::until_ready_is,
};

/// How it takes no writes.
#[derive(Clone, Copy, Debug)]
enum Cause {
    /// Of sessions that are open, too.
    Setting,
    /// As the old primary after a failover.
    Standby,
}

impl Cause {
    async fn begins(self, cluster: &mut Cluster) {
        match self {
            Self::Setting => set_read_only(cluster, "on").await,
            Self::Standby => {
                cluster.stop_at_once().await;
                cluster.demote();
                cluster.start_again().await;
            }
        }
    }

    async fn ends(self, cluster: &Cluster) {
        match self {
            Self::Setting => set_read_only(cluster, "off").await,
            Self::Standby => cluster.promote().await,
        }
    }
}

async fn set_read_only(cluster: &Cluster, value: &str) {
    let set = format!("ALTER SYSTEM SET default_transaction_read_only = {value}");
    cluster.execute(&set).await;
    cluster.execute("SELECT pg_reload_conf()").await;
}

#[rstest]
#[case::setting(Cause::Setting)]
#[case::standby(Cause::Standby)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn e2_a_database_that_takes_no_writes_is_not_served_until_it_does(#[case] cause: Cause) {
    let mut cluster = Cluster::start().await;
    let server = Server::at(&cluster.url(), |_| {}).await;
    let api = server.api().await;
    let id = api.create(named()).await.expect("it is created").id;
    until_ready_is(&api, Serving).await;

    // Nobody writes: an idle server finds out all the same.
    cause.begins(&mut cluster).await;
    until_ready_is(&api, NotServing).await;
    for _ in 0..20 {
        let refusal = api.create(named()).await.expect_err("it is read-only");
        let details = refused(&refusal, Code::Unavailable, "DATABASE_READ_ONLY");
        assert!(details.retry_info().is_some(), "{refusal:?}");
    }

    cause.ends(&cluster).await;
    until_ready_is(&api, Serving).await;
    api.create(named()).await.expect("it takes writes again");
    api.get(&id).await;
    assert!(
        !server.log().contains("a unit of work failed"),
        "no INTERNAL"
    );
}

/// A supervisor starts it again until the database takes writes.
#[tokio::test]
async fn e2_a_server_does_not_start_on_a_database_that_takes_no_writes() {
    let mut cluster = Cluster::start().await;
    Cause::Standby.begins(&mut cluster).await;
    let url = cluster.url();
    let serve = ["serve", "--listen", "127.0.0.1:0", "--database", &url];
    let run = finish(viridian(&serve)).await;
    assert_eq!(run.code, Some(101), "{run:?}");
    let error = run.stderr.lines().last().expect("a line");
    assert!(error.contains("takes no writes"), "{run:?}");
    let doctor = finish(viridian(&["doctor", "--database", &url])).await;
    assert!(doctor.stdout.contains("it is a standby"), "{doctor:?}");
}

fn named() -> CreateDeploymentRequest {
    CreateDeploymentRequest {
        name: format!("web-{}", Uuid::now_v7().simple()),
        ..creation(1, manual())
    }
}
