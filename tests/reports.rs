//! Reports of the scheduler and of the health checker: each stands alone.

use rstest::rstest;
use rstest_reuse::apply;
use uuid::Uuid;
use viridian_proto::v1::{
    DeploymentLifecycle, ReportResult, Route, RouteHealthReport, RouteHealthStatus, RouteStatus,
    RouteStatusReport, RouteTrafficStatus,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, RouteBehavior, TestEnv, creation, eventually, field_paths, manual,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn an_unknown_route_spoils_its_own_report_only(#[case] engine: Engine) {
    let env = pending(engine).await;
    let routes = env.routes().await;
    let unknown = Uuid::now_v7().to_string();
    let batch = [&routes[0].id, &unknown, &routes[1].id];
    let reports = batch.map(|id| running(id)).to_vec();
    let results = env.api.report(reports).await.expect("a batch");
    assert_eq!(applied(&results), [true, false, true]);
    assert_eq!(
        results.iter().map(|it| &it.route_id).collect::<Vec<_>>(),
        batch
    );
    assert!(results[1].error.contains(&unknown), "{results:?}");
    assert!(results[0].error.is_empty() && results[2].error.is_empty());

    let reports = batch
        .map(|id| seen(id, RouteHealthStatus::Healthy))
        .to_vec();
    let results = env.api.report_health(reports).await.expect("a batch");
    assert_eq!(applied(&results), [true, false, true]);
    assert!(results[1].error.contains(&unknown), "{results:?}");
    let ready = env.ready().await;
    assert_eq!(ready.blue.expect("counts").ready, 2);
}

#[apply(both_engines)]
#[tokio::test]
async fn an_illegal_move_spoils_its_own_report_only(#[case] engine: Engine) {
    let env = pending(engine).await;
    let routes = env.routes().await;
    let [first, second] = [&routes[0].id, &routes[1].id];
    let mut ended = running(first);
    ended.set_status(RouteStatus::Terminated);
    // PROVISIONING cannot become TERMINATED.
    let results = env.api.report(vec![ended.clone(), running(second)]).await;
    let results = results.expect("a batch");
    assert_eq!(applied(&results), [false, true]);
    let words = &results[0].error;
    assert!(words.contains("PROVISIONING") && words.contains("TERMINATED"));

    // In one batch each sees what the one before it did.
    let mut failed = running(first);
    failed.set_status(RouteStatus::FailedToStart);
    let batch = vec![running(first), failed, ended.clone(), ended, running(first)];
    let results = env.api.report(batch).await.expect("a batch");
    assert_eq!(applied(&results), [true, false, true, true, false]);
    let after = find(&env, first).await;
    assert_eq!(after.status(), RouteStatus::Terminated);
    assert_eq!(after.traffic_status(), RouteTrafficStatus::Inactive);

    let late = vec![
        seen(first, RouteHealthStatus::Healthy),
        seen(second, RouteHealthStatus::Healthy),
    ];
    let results = env.api.report_health(late).await.expect("a batch");
    assert_eq!(applied(&results), [false, true], "{results:?}");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_report_that_changes_nothing_writes_nothing(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let before = env.serving(2, manual()).await;
    let routes = env.routes().await;
    let again = |route: &Route| RouteStatusReport {
        session_id: route.session_id.clone(),
        address: route.address.clone(),
        ..running(&route.id)
    };
    let results = env.api.report(routes.iter().map(again).collect()).await;
    assert_eq!(applied(&results.expect("a batch")), [true, true]);
    env.api.see(&routes, RouteHealthStatus::Healthy).await;
    assert_eq!(env.get().await, before);
    assert_eq!(env.routes().await, routes);

    // A change of health is visible, but nothing that anyone asked for.
    env.api.see(&routes[..1], RouteHealthStatus::Degraded).await;
    let after = env
        .until("the change", |it| it.sequence > before.sequence)
        .await;
    assert_eq!(after.generation, before.generation);
    assert_eq!(after.blue.expect("counts").unhealthy, 1);
}

#[apply(both_engines)]
#[tokio::test]
async fn malformed_reports_are_refused_with_their_places(#[case] engine: Engine) {
    let env = pending(engine).await;
    let routes = env.routes().await;
    let mut unset = running(&routes[0].id);
    unset.set_status(RouteStatus::Unspecified);
    let batch = vec![running("mine"), unset];
    let refusal = env.api.report(batch).await.expect_err("both are wrong");
    assert_eq!(
        field_paths(&refusal),
        ["reports[0].route_id", "reports[1].status"]
    );
    let many = vec![running(&routes[0].id); 1_001];
    let refusal = env.api.report(many).await.expect_err("too many");
    assert_eq!(field_paths(&refusal), ["reports"]);
    let many = vec![seen(&routes[0].id, RouteHealthStatus::Healthy); 1_001];
    let refusal = env.api.report_health(many).await.expect_err("too many");
    assert_eq!(field_paths(&refusal), ["reports"]);
    assert_eq!(env.routes().await, routes);
}

#[apply(both_engines)]
#[tokio::test]
async fn a1_an_address_that_is_none_spoils_its_own_report_only(#[case] engine: Engine) {
    let env = pending(engine).await;
    let routes = env.routes().await;
    let at = |route: &Route, address: &str| RouteStatusReport {
        address: address.to_owned(),
        ..running(&route.id)
    };
    for address in [
        "::1:8080",
        "http://h:1",
        "host:99999",
        ":80",
        "h:80\n",
        "\0",
        "0.0.0.0:1",
    ] {
        let batch = vec![at(&routes[0], address), at(&routes[1], "[::1]:8080")];
        let results = env.api.report(batch).await.expect("a batch");
        assert_eq!(applied(&results), [false, true], "{address:?}");
        assert!(
            results[0].error.contains("HOST:PORT") && !results[0].retry,
            "{results:?}"
        );
    }
    // What another one has is free once that has ended.
    let taken = at(&routes[0], "[0:0:0:0:0:0:0:1]:8080");
    let results = env.api.report(vec![taken.clone()]).await.expect("a batch");
    assert_eq!(applied(&results), [false]);
    assert!(
        results[0].error.contains(&routes[1].id) && results[0].retry,
        "{results:?}"
    );
    let mut ended = running(&routes[1].id);
    ended.set_status(RouteStatus::Terminated);
    let results = env.api.report(vec![ended, taken]).await.expect("a batch");
    assert_eq!(applied(&results), [true, true]);
    assert_eq!(find(&env, &routes[0].id).await.address, "[::1]:8080");
}

#[apply(both_engines)]
#[tokio::test]
async fn a6_an_observation_that_is_outdated_says_so(#[case] engine: Engine) {
    let env = pending(engine).await;
    let route = env.routes().await.remove(0);
    let in_session = |session: &str| RouteStatusReport {
        session_id: session.to_owned(),
        ..running(&route.id)
    };
    let reported = env.api.report(vec![in_session("one")]).await;
    assert_eq!(applied(&reported.expect("a batch")), [true]);
    let at = |health, seconds, session: &str| RouteHealthReport {
        observed_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
        session_id: session.to_owned(),
        ..seen(&route.id, health)
    };
    use RouteHealthStatus::{Healthy, NotChecked, Unhealthy};
    let batch = vec![
        at(Unhealthy, 1_764_504_010, "one"),
        at(Healthy, 1_764_504_005, "one"),
        at(Unhealthy, 1_764_504_004, ""),
        at(Healthy, 1_764_504_020, "two"),
    ];
    let results = env.api.report_health(batch).await.expect("a batch");
    assert_eq!(applied(&results), [true, false, true, false]);
    assert!(
        results[1].error.contains("2025-11-30T12:00:10"),
        "{results:?}"
    );
    assert!(results[3].error.contains("session"), "{results:?}");
    assert!(results.iter().all(|result| !result.retry), "{results:?}");
    assert_eq!(find(&env, &route.id).await.health(), Unhealthy);

    let reported = env.api.report(vec![in_session("two")]).await;
    assert_eq!(applied(&reported.expect("a batch")), [true]);
    assert_eq!(find(&env, &route.id).await.health(), NotChecked);
    let results = env
        .api
        .report_health(vec![at(Healthy, 1_764_504_020, "two")])
        .await;
    assert_eq!(applied(&results.expect("a batch")), [true]);
}

/// A detail is cut between two characters, and NUL is none.
#[apply(both_engines)]
#[tokio::test]
async fn c3_a_detail_is_bounded_and_shown(#[case] engine: Engine) {
    let env = pending(engine).await;
    let route = env.routes().await.remove(0);
    let reported = env.api.report(vec![running(&route.id)]).await;
    assert_eq!(applied(&reported.expect("a batch")), [true]);
    let says = |detail: String| RouteHealthReport {
        detail,
        ..seen(&route.id, RouteHealthStatus::Unhealthy)
    };
    let long = format!("a{}", "\u{fc}".repeat(600));
    for (detail, kept) in [
        ("GET /nope: 404".to_owned(), "GET /nope: 404".to_owned()),
        ("a\0b".to_owned(), "a\u{fffd}b".to_owned()),
        (long.clone(), long[..1_023].to_owned()),
    ] {
        let results = env.api.report_health(vec![says(detail)]).await;
        assert_eq!(applied(&results.expect("a batch")), [true]);
        assert_eq!(find(&env, &route.id).await.health_detail, kept);
    }
    let results = env
        .api
        .report_health(vec![says("GET /nope: 404".to_owned())])
        .await;
    assert_eq!(applied(&results.expect("a batch")), [true]);
    let blockers = env.get().await.blockers;
    assert!(
        blockers[0].message.ends_with("(GET /nope: 404)"),
        "{blockers:?}"
    );
}

/// A scheduler that learns the address later says RUNNING once more.
#[apply(both_engines)]
#[tokio::test]
async fn an_address_may_come_later(#[case] engine: Engine) {
    let env = pending(engine).await;
    let route = env.routes().await.remove(0);
    for address in ["", "127.0.0.1:4000", ""] {
        let report = RouteStatusReport {
            address: address.to_owned(),
            ..running(&route.id)
        };
        let results = env.api.report(vec![report]).await.expect("a batch");
        assert_eq!(applied(&results), [true], "{address:?}");
    }
    assert_eq!(find(&env, &route.id).await.address, "127.0.0.1:4000");
}

#[apply(both_engines)]
#[tokio::test]
async fn blue_that_crashes_is_replaced_with_traffic(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(2, manual()).await;
    let routes = env.routes().await;
    let crash = RouteStatusReport {
        status: RouteStatus::Terminated.into(),
        failure: "exit status 1".to_owned(),
        ..running(&routes[0].id)
    };
    let results = env.api.report(vec![crash]).await.expect("a batch");
    assert_eq!(applied(&results), [true]);
    assert_eq!(find(&env, &routes[0].id).await.failure, "exit status 1");
    eventually("another one in its place", async || {
        let table = env.api.table(REFERENCE).await;
        let mut listed = table.endpoints.iter().map(|it| &it.route_id);
        (table.endpoints.len() == 2 && !listed.any(|id| *id == routes[0].id)).then_some(())
    })
    .await;
    assert_eq!(env.routes().await.len(), 3);
    env.ready().await;
}

/// A deployment of which nothing has started yet.
async fn pending(engine: Engine) -> TestEnv {
    let env = TestEnv::start(engine).await;
    env.scheduler.plan(1, [RouteBehavior::Pending]);
    let created = env.api.create(creation(2, manual())).await;
    let created = created.expect("it can be created");
    assert_eq!(created.lifecycle(), DeploymentLifecycle::Pending);
    env.until("the first cycle", |it| !it.blockers.is_empty())
        .await;
    env
}

async fn find(env: &TestEnv, id: &str) -> Route {
    let routes = env.routes().await;
    let mut found = routes.into_iter().filter(|route| route.id == id);
    found.next().expect("the route is there")
}

fn running(id: &str) -> RouteStatusReport {
    RouteStatusReport {
        route_id: id.to_owned(),
        status: RouteStatus::Running.into(),
        address: format!("{id}.test:9000"),
        ..RouteStatusReport::default()
    }
}

fn seen(id: &str, health: RouteHealthStatus) -> RouteHealthReport {
    RouteHealthReport {
        route_id: id.to_owned(),
        health: health.into(),
        ..RouteHealthReport::default()
    }
}

fn applied(results: &[ReportResult]) -> Vec<bool> {
    results.iter().map(|result| result.applied).collect()
}
