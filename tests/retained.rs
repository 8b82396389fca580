//! Blue that is kept RUNNING without traffic for a while after the switch.

use rstest::rstest;
use viridian_proto::v1::{BlueGreenSpec, RouteStatus};

use crate::harness::{Engine, REFERENCE, World, active, blue_green, eventually, ids, seconds};

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn blue_is_retained_for_its_time_and_then_ended(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(1.0),
        ..BlueGreenSpec::default()
    });
    let gate = world.at_gate(2, policy).await;
    let blue = world.routes_of(&gate.current_revision_id).await;
    let reply = world.promote().await;
    assert_eq!(reply.drained_route_ids.len(), 2);
    let promoted = reply.deployment.expect("a deployment");
    assert_eq!(promoted.blue.expect("counts").retained, 2);

    let kept = world.routes_of(&gate.current_revision_id).await;
    assert_eq!(ids(&kept), ids(&blue));
    assert!(
        kept.iter()
            .all(|it| it.retained && it.status() == RouteStatus::Running)
    );
    assert!(active(&kept).is_empty());
    let table = world.api.table(REFERENCE).await;
    assert_eq!(table.revision_id, gate.deploying_revision_id);

    let over = eventually("the end of blue", async || {
        let routes = world.routes_of(&gate.current_revision_id).await;
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
