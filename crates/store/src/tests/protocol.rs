//! What the replicas of a deployment speak: a part of its traffic table that no rollout touches.

use rstest_reuse::apply;
use viridian_strategy::{DeploymentId, DeploymentState, RouteHealth};

use super::{
    fixture::{Engine, Fixture, amend, back_to, call, engines, manual, with_request},
    invariants,
    migrations::revert_with,
};
use crate::{Deployment, Operation, Projects, Protocol, Tables, TrafficTable};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn another_protocol_is_another_table_of_the_same_routes(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(2, manual()).await;
    let mut before = (fixture.get(id).await, table(&fixture, id).await);
    let routes = fixture.routes(id).await;
    assert_eq!(before.0.protocol, Protocol::Http1, "the default");
    assert_eq!(before.1.protocol, Protocol::Http1);
    let told = (before.1.project.as_str(), before.1.name.as_str());
    assert_eq!(told, ("p", before.0.name.as_str()));

    for protocol in [Protocol::Http2, Protocol::Tcp, Protocol::Http1] {
        let updated = speak(&fixture, id, protocol).await;
        let table = table(&fixture, id).await;
        assert_eq!(updated.epoch, before.0.epoch + 1, "{protocol:?}");
        assert_eq!(updated.generation, before.0.generation + 1);
        let said = TrafficTable {
            epoch: updated.epoch,
            protocol,
            ..before.1
        };
        assert_eq!(table, said);
        assert_eq!(fixture.get(id).await, updated, "it is in the row");
        assert_eq!(updated.state, before.0.state);
        assert_eq!(fixture.routes(id).await, routes);

        // One that asks for what there is changes nothing, the epoch included.
        assert_eq!(speak(&fixture, id, protocol).await, updated);
        before = (updated, table);
    }
    fixture.settle().await;
    assert_eq!(fixture.routes(id).await, routes, "none is replaced");
    let updates = fixture.history(id).await;
    let updates = updates.iter().filter(|it| it.phase == Operation::Update);
    assert_eq!(updates.count(), 3, "of six calls");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_rollout_keeps_it_in_every_way_that_it_may_go(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let blue = fixture.get(id).await.state.current().expect("it serves");
    speak(&fixture, id, Protocol::Tcp).await;
    let is_kept = async || {
        assert_eq!(fixture.get(id).await.protocol, Protocol::Tcp);
        assert_eq!(table(&fixture, id).await.protocol, Protocol::Tcp);
    };
    fixture.deploy(id).await;
    is_kept().await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is at the gate");
    is_kept().await;
    let back = fixture
        .db
        .roll_back_deployment(id, back_to(blue), &call())
        .await;
    assert!(!back.expect("it goes back").instant, "by a rollout");
    fixture.settle().await;
    is_kept().await;
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    deleted.expect("it is deleted");
    fixture.settle().await;
    is_kept().await;
    invariants::hold(&fixture).await;
}

/// It is for proxies: the gate stays where it is, with its clocks.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn it_changes_at_the_gate_and_moves_no_rollout(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, green) = fixture.at_the_gate(1, manual()).await;
    let before = (fixture.get(id).await, fixture.routes(id).await);
    let terms = with_request();
    let update = amend(|it| it.protocol = Protocol::Http2);
    let first = fixture.db.update_deployment(id, update, &terms).await;
    let first = first.expect("it is taken").deployment;
    assert_eq!(first.epoch, before.0.epoch + 1);
    assert_eq!(first.state, before.0.state);
    assert_eq!(first.phase_started_at, before.0.phase_started_at);
    assert_eq!(first.deadline_at, before.0.deadline_at);
    assert_eq!(fixture.routes(id).await, before.1);

    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is still at the gate");
    // The first reply, which was kept.
    let update = amend(|it| it.protocol = Protocol::Tcp);
    let again = fixture.db.update_deployment(id, update, &terms).await;
    assert_eq!(again.expect("it is the same call").deployment, first);
    let now = fixture.get(id).await;
    assert_eq!(now.state, DeploymentState::Ready { current: green });
    assert_eq!(now.protocol, Protocol::Http2);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_earlier_programs_speak_http1(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (id, _) = fixture.at_the_gate(1, manual()).await;
    let other = fixture.ready(1, manual()).await;
    speak(&fixture, other, Protocol::Http2).await;
    let before = fixture.get(id).await;
    let word = "SELECT COUNT(*) AS n FROM deployments WHERE protocol = 'HTTP2'";
    assert_eq!(fixture.number(word).await, 1);
    let (url, keeper) = fixture.close();
    revert_with(&url, "20261201000020").await;

    let fixture = Fixture::reopen((url, keeper)).await;
    assert_eq!(fixture.get(id).await, before, "with its epoch");
    assert_eq!(fixture.get(other).await.protocol, Protocol::Http1);
    speak(&fixture, other, Protocol::Tcp).await;
    let refused = fixture.tamper("UPDATE deployments SET protocol = 'SMTP'");
    refused.await.expect_err("it is no protocol");
    invariants::hold(&fixture).await;
}

async fn speak(fixture: &Fixture, id: DeploymentId, protocol: Protocol) -> Deployment {
    let update = amend(move |it| it.protocol = protocol);
    let updated = fixture.db.update_deployment(id, update, &call()).await;
    updated.expect("it is taken").deployment
}

async fn table(fixture: &Fixture, id: DeploymentId) -> TrafficTable {
    let mut reader = fixture.db.reader().await.expect("a reader");
    let only = Tables::Of(vec![id]);
    let tables = reader.traffic_tables(only, Projects::All).await;
    tables.expect("they are read").remove(0)
}
