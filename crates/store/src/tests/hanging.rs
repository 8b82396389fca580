//! Routes that are UNHEALTHY for too long are replaced.

use std::time::Duration;

use rstest_reuse::apply;
use viridian_strategy::{BlockerCode, DeploymentId, Policy, RouteHealth, RouteId, RouteStatus};

use super::{
    fixture::{Engine, Fixture, engines, manual},
    invariants,
    replicas::{codes, serving},
    virtual_time::VirtualTime,
};
use crate::{HealthReport, HistoryOutcome, Operation};

fn after(seconds: u64) -> Policy {
    Policy {
        replace_unhealthy_after: Duration::from_secs(seconds),
        ..manual()
    }
}

/// To the microsecond, and not before; the same after a start of the server.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a13_a_route_that_hangs_is_replaced_in_time(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(2, after(60)).await;
    let hangs = fixture.routes(id).await[0].view.id;
    fixture.health(&[hangs], RouteHealth::Unhealthy).await;
    let next = fixture.pass().await.next;
    assert_eq!(next, Some(Duration::from_secs(60)));
    let fixture = time.restart(fixture).await;
    let moment = Duration::from_micros(1);
    time.pass(Duration::from_secs(60) - moment).await;
    fixture.settle().await;
    assert_eq!(fixture.routes(id).await.len(), 2, "before its time");
    time.pass(moment).await;
    fixture.settle().await;
    assert_eq!(fixture.routes(id).await.len(), 3);
    assert!(codes(&fixture.get(id).await).contains(&BlockerCode::Restarting));
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let left = serving(&fixture, id).await;
    assert_eq!((left.len(), left.contains(&hangs)), (2, false));
    assert_eq!(codes(&fixture.get(id).await), []);
    invariants::hold(&fixture).await;
}

/// The history says why, once it is done: until then the route may become healthy again.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a13_the_history_says_that_a_route_was_replaced_since_it_hung(#[case] engine: Engine) {
    let (mut time, fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(2, after(60)).await;
    let hangs = fixture.routes(id).await[0].view.id;
    let report = HealthReport {
        detail: "GET /: 504".into(),
        ..HealthReport::new(hangs, RouteHealth::Unhealthy)
    };
    let taken = fixture.db.report_health(vec![report]).await;
    assert!(taken.expect("it is taken").iter().all(Result::is_ok));
    time.pass(Duration::from_secs(60)).await;
    fixture.settle().await;
    let replaced = async || {
        let mut entries = fixture.history(id).await;
        entries.retain(|it| it.phase == Operation::RouteReplaced);
        entries
    };
    assert_eq!(replaced().await, [], "a new one comes first");
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let [entry] = &replaced().await[..] else {
        panic!("{:?}", fixture.history(id).await);
    };
    assert_eq!(entry.outcome, HistoryOutcome::Success);
    assert_eq!(entry.reason, "UNHEALTHY for longer than 60 s");
    assert_eq!(entry.failure, "GET /: 504");
    assert_eq!((entry.count, entry.effects.drained), (1, 1));
    assert_eq!(entry.revision, fixture.get(id).await.state.current());

    // A crash after that is another story, though it is of the same revision.
    let crashed = serving(&fixture, id).await[0];
    fixture.status(&[crashed], RouteStatus::Terminated).await;
    fixture.settle().await;
    let reasons: Vec<_> = replaced().await.into_iter().map(|it| it.reason).collect();
    let [crash, hung] = &reasons[..] else {
        panic!("{reasons:?}");
    };
    assert_eq!(hung, "UNHEALTHY for longer than 60 s");
    assert_ne!(crash, hung);
    invariants::hold(&fixture).await;
}

/// As after crashes. What hung is remembered once it has ended, also by a server that
/// starts anew.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a13_replicas_that_hang_again_are_replaced_more_and_more_slowly(#[case] engine: Engine) {
    let (mut time, mut fixture) = VirtualTime::new(engine).await;
    let id = fixture.ready(1, after(10)).await;
    let first = fixture.routes(id).await[0].view.id;
    fixture.health(&[first], RouteHealth::Unhealthy).await;
    let moment = Duration::from_micros(1);
    for wait in [0, 0, 1, 2, 4] {
        time.pass(Duration::from_secs(10)).await;
        fixture.settle().await;
        let ended = fixture.routes_in(id, RouteStatus::Terminating).await;
        fixture.status(&ended, RouteStatus::Terminated).await;
        if wait > 0 {
            assert!(codes(&fixture.get(id).await).contains(&BlockerCode::BackOff));
            fixture = time.restart(fixture).await;
            time.pass(Duration::from_secs(wait) - moment).await;
            fixture.settle().await;
            assert_eq!(starting(&fixture, id).await, [], "before its time");
            time.pass(moment).await;
            fixture.settle().await;
        }
        assert_eq!(starting(&fixture, id).await.len(), 1, "after {wait} s");
        fixture.bring_up(id, RouteHealth::Unhealthy).await;
    }
    let history = fixture.history(id).await;
    let replaced = history
        .iter()
        .filter(|it| it.phase == Operation::RouteReplaced);
    let replaced: Vec<_> = replaced
        .map(|it| (it.count, it.effects.created, it.effects.drained))
        .collect();
    assert_eq!(replaced, [(4, 1, 4)], "one entry, as for a crash loop");
    assert_eq!(fixture.get(id).await.status.blue.failed, 0, "none crashed");
    invariants::hold(&fixture).await;
}

async fn starting(fixture: &Fixture, id: DeploymentId) -> Vec<RouteId> {
    fixture.routes_in(id, RouteStatus::Provisioning).await
}
