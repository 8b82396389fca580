//! A deployment whose rows are damaged: it delays no other, is looked at less and
//! less often, and goes on once it is mended.

use std::time::Duration;

use rstest::rstest;
use viridian_proto::v1::{CreateDeploymentRequest, DeploymentLifecycle};

use crate::harness::{
    Engine, METRICS, REFERENCE, Server, World, creation, eventually, hold_for, manual,
};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_set_aside_for_longer_each_time_and_then_goes_on(#[case] engine: Engine) {
    let flags = [
        &METRICS[..],
        &["--coordinator-set-aside", "20ms"],
        &["--coordinator-set-aside-longest", "1m"],
        &["--coordinator-batch", "5"],
    ]
    .concat();
    let world = World::on(Server::start_with(engine, &flags).await).await;
    world.serving(1, manual()).await;
    let database = world.server.database();
    database.execute(DAMAGE).await;
    let failed = async || {
        let metrics = world.server.metrics().await;
        metrics.value("viridian_cycles_failed_total")
    };
    let set_aside = async || {
        let metrics = world.server.metrics().await;
        metrics.value("viridian_deployments_set_aside")
    };
    eventually("it to fail again and again", async || {
        (failed().await >= 4.0).then_some(())
    })
    .await;

    // 20 ms, doubled each time: so few fit into two seconds.
    let before = failed().await;
    hold_for(Duration::from_secs(2), async || {
        assert!(failed().await - before <= 6.0, "it is looked at too often");
    })
    .await;
    assert_eq!(set_aside().await, 1.0);
    let other = CreateDeploymentRequest {
        name: "other".to_owned(),
        ..creation(1, manual())
    };
    world.api.create(other).await.expect("it can be created");
    world
        .api
        .until("shop/other", "READY", |it| {
            it.lifecycle() == DeploymentLifecycle::Ready
        })
        .await;

    database.execute(MEND).await;
    eventually("nothing to be set aside", async || {
        (set_aside().await == 0.0).then_some(())
    })
    .await;
    world.bring_up().await;
    assert!(world.server.log().contains("the deployment is set aside"));
    let passes = r#"viridian_due_queue_passes_total{outcome="worked"}"#;
    assert!(world.server.metrics().await.value(passes) > 4.0);
    world.api.get(REFERENCE).await;
}

const DAMAGE: &str = "UPDATE deployments SET labels = '[7]', due_at = created_at";
/// Whoever mends rows says that they are to be looked at.
const MEND: &str = "UPDATE deployments SET labels = '{}', due_at = created_at WHERE name = 'web'";
