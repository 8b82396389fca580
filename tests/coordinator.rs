//! How the server works on what is due: several take batches when one is not
//! enough, and a deployment whose rows are damaged delays no other.

use std::time::Duration;

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    CreateDeploymentRequest, Deployment, DeploymentLifecycle, DeploymentSubStep,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, METRICS, REFERENCE, Server, TestEnv, creation, eventually, hold_for, manual,
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn several_take_batches_when_one_is_not_enough() {
    let flags = ["--coordinator-workers", "3", "--coordinator-batch", "1"];
    let env = TestEnv::on(Server::start_with(Engine::Postgres, &flags).await).await;
    let names = ["one", "two", "three", "four"];
    for name in names {
        let request = CreateDeploymentRequest {
            name: name.to_owned(),
            ..creation(1, manual())
        };
        env.api.create(request).await.expect("it can be created");
    }
    let references = names.map(|name| format!("shop/{name}"));
    let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    for reference in &references {
        env.api.until(reference, "READY", is_ready).await;
    }
    let database = env.server.database();
    database.slow_down_cycles().await;
    for reference in &references {
        let created = env.api.create_revision(reference, true).await;
        created.expect("it can be activated");
    }
    eventually("two cycles at once", async || {
        (database.cycles_under_way().await >= 2).then_some(())
    })
    .await;
    let at_gate = |it: &Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
    for reference in &references {
        env.api.until(reference, "the gate", at_gate).await;
    }
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_set_aside_for_longer_each_time_and_then_goes_on(#[case] engine: Engine) {
    let flags = [
        &METRICS[..],
        &["--coordinator-set-aside", "20ms"],
        &["--coordinator-set-aside-longest", "1m"],
        &["--coordinator-batch", "5"],
    ]
    .concat();
    let env = TestEnv::on(Server::start_with(engine, &flags).await).await;
    env.serving(1, manual()).await;
    let database = env.server.database();
    database.execute(DAMAGE).await;
    let failed = async || {
        let metrics = env.server.metrics().await;
        metrics.value("viridian_cycles_failed_total")
    };
    let set_aside = async || {
        let metrics = env.server.metrics().await;
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
    env.api.create(other).await.expect("it can be created");
    env.api
        .until("shop/other", "READY", |it| {
            it.lifecycle() == DeploymentLifecycle::Ready
        })
        .await;

    database.execute(MEND).await;
    eventually("nothing to be set aside", async || {
        (set_aside().await == 0.0).then_some(())
    })
    .await;
    env.bring_up().await;
    assert!(env.server.log().contains("the deployment is set aside"));
    let passes = r#"viridian_due_queue_passes_total{outcome="worked"}"#;
    assert!(env.server.metrics().await.value(passes) > 4.0);
    env.api.get(REFERENCE).await;
}

const DAMAGE: &str = "UPDATE deployments SET labels = '[7]', due_at = created_at";
/// Whoever mends rows says that they are to be looked at.
const MEND: &str = "UPDATE deployments SET labels = '{}', due_at = created_at WHERE name = 'web'";
