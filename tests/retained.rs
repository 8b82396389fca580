//! Blue that is kept RUNNING without traffic for a while after the switch.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{BlueGreenSpec, RouteStatus};

use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, TestEnv, active, blue_green, eventually, ids, seconds},
};

#[apply(both_engines)]
#[tokio::test]
async fn blue_is_retained_for_its_time_and_then_ended(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(1.0),
        ..BlueGreenSpec::default()
    });
    let gate = env.at_gate(2, policy).await;
    let blue = env.routes_of(&gate.current_revision_id).await;
    let reply = env.promote().await;
    assert_eq!(reply.drained_route_ids.len(), 2);
    let promoted = reply.deployment.expect("a deployment");
    assert_eq!(promoted.blue.expect("counts").retained, 2);

    let kept = env.routes_of(&gate.current_revision_id).await;
    assert_eq!(ids(&kept), ids(&blue));
    assert!(
        kept.iter()
            .all(|it| it.retained && it.status() == RouteStatus::Running)
    );
    assert!(active(&kept).is_empty());
    let table = env.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, gate.deploying_revision_id);

    let over = eventually("the end of blue", async || {
        let routes = env.routes_of(&gate.current_revision_id).await;
        let over = routes
            .iter()
            .all(|it| it.status() == RouteStatus::Terminated);
        over.then_some(routes)
    })
    .await;
    let switched = promoted.promote_time.expect("when");
    for route in over {
        let ended = route.status_update_time.expect("when");
        let micros = (ended.seconds - switched.seconds) * 1_000_000
            + i64::from((ended.nanos - switched.nanos) / 1_000);
        assert!(micros >= 1_000_000, "ended {micros} us after the switch");
    }
}
