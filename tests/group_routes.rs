//! ListRoutes and WatchRoutes of RouteService: a health checker that is no scheduler.

use std::collections::{BTreeMap, BTreeSet};

use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Status, Streaming};
use viridian_proto::v1::{
    CreateDeploymentRequest, DeploymentMetadata, GroupRoute, Route, RouteHealthReport,
    RouteHealthStatus as Health, RouteServiceListRoutesRequest, RouteStatus, RouteStatusReport,
    RouteTrafficStatus as Traffic, WatchRoutesRequest, WatchRoutesResponse,
    watch_routes_response::Payload,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, CuttableProxy, Engine, GROUP, REFERENCE, Server, TestEnv, creation, delete,
        field_paths, manual, within,
    },
};

/// A client of the contract alone finds the routes, checks them, and sees every change.
#[apply(both_engines)]
#[tokio::test]
async fn d9_a_health_checker_sees_routes_come_change_and_go(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let mut watch = RouteFollower::start(&api, watch_of(&[])).await;
    let (present, _) = watch.lot().await;
    assert_eq!(present, [], "there is nothing yet");
    let request = CreateDeploymentRequest {
        labels: [("team".to_owned(), "web".to_owned())].into(),
        ..creation(1, manual())
    };
    api.create(request).await.expect("it is created");
    let created = watch.route().await;
    assert_eq!(route(&created).status(), RouteStatus::Provisioning);
    assert_eq!(created.revision_number, 1);
    let check = created.health_check.clone().expect("how to check it");
    assert_eq!(check.path, "/");
    assert!(check.interval.is_some() && check.timeout.is_some());
    let deployment = created.deployment.clone().expect("whose it is");
    assert_eq!((&*deployment.project, &*deployment.name), ("shop", "web"));
    assert_eq!(deployment.labels["team"], "web");
    let id = route(&created).id.clone();

    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        report(&api, &id, RouteStatus::Running, address).await;
        let changed = watch.route().await;
        assert_eq!(route(&changed).address, address);
        assert_eq!(route(&changed).status(), RouteStatus::Running);
        assert_eq!(changed.deployment, created.deployment);
    }
    for health in [Health::Unhealthy, Health::Healthy] {
        check_in(&api, &id, health).await;
        assert_eq!(route(&watch.route().await).health(), health);
    }
    let (listed, _) = list(&api, &list_of(&[])).await.expect("a page");
    assert_eq!(listed.len(), 1);
    assert_eq!(route(&listed[0]).traffic_status(), Traffic::Active);

    let deleted = api.deployments().delete_deployment(delete(REFERENCE)).await;
    deleted.expect("its end begins");
    let leaving = watch
        .until(|it| it.status() == RouteStatus::Terminating)
        .await;
    assert_eq!(route(&leaving).traffic_status(), Traffic::Inactive);
    report(&api, &id, RouteStatus::Terminated, "").await;
    let gone = watch
        .until(|it| it.status() == RouteStatus::Terminated)
        .await;
    assert_eq!(route(&gone).id, id);
    let (listed, _) = list(&api, &list_of(&[])).await.expect("a page");
    assert_eq!(
        listed,
        [],
        "what has ended is listed only when it is asked for"
    );
    let ended = list_of(&[RouteStatus::Terminated]);
    let (listed, _) = list(&api, &ended).await.expect("a page");
    assert_eq!(listed.len(), 1);
}

#[apply(both_engines)]
#[tokio::test]
async fn d9_a_promotion_is_a_change_of_the_traffic_of_both_sides(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.at_gate(1, manual()).await;
    let mut watch = RouteFollower::start(&env.api, watch_of(&[])).await;
    let (present, _) = watch.lot().await;
    let sides: BTreeSet<_> = present
        .iter()
        .map(|it| (it.revision_number, route(it).traffic_status() as i32))
        .collect();
    let expected = [(1, Traffic::Active as i32), (2, Traffic::Inactive as i32)];
    assert_eq!(sides, expected.into());
    let promoted = env.promote().await;
    let mut seen = BTreeSet::new();
    while seen.len() < 2 {
        let changed = watch.route().await;
        let is_green = promoted.promoted_route_ids.contains(&route(&changed).id);
        let expected = if is_green {
            Traffic::Active
        } else {
            Traffic::Inactive
        };
        if route(&changed).traffic_status() == expected {
            seen.insert(route(&changed).id.clone());
        }
    }
}

/// The connection is cut. What has changed meanwhile comes, and nothing else of the group.
#[apply(both_engines)]
#[tokio::test]
async fn d9_a_watch_goes_on_after_a_cut(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for name in ["web", "other"] {
        create(&api, name, 2).await;
    }
    let proxy = CuttableProxy::to(server.address()).await;
    let cut = Api::connect(&format!("http://{}", proxy.address())).await;
    let statuses = [RouteStatus::Provisioning, RouteStatus::Running];
    let mut watch = RouteFollower::start(&cut, watch_of(&statuses)).await;
    let (present, token) = watch.gather(4).await;
    assert_eq!(present.len(), 4);
    assert_eq!(proxy.cut(), 1);
    let lost = within("the end of the stream", watch.0.message()).await;
    lost.expect_err("it is cut");
    let of_web = present.iter().filter(|it| name(it) == "web");
    let ids: Vec<_> = of_web.map(|it| route(it).id.clone()).collect();
    report(&api, &ids[0], RouteStatus::Running, "10.0.0.1:80").await;
    report(&api, &ids[1], RouteStatus::FailedToStart, "").await;

    let server = server.restart().await;
    let api = server.api().await;
    let resumed = WatchRoutesRequest {
        resume_token: token.clone(),
        ..watch_of(&statuses)
    };
    let mut watch = RouteFollower::start(&api, resumed.clone()).await;
    let (changed, later) = watch.lot().await;
    assert!(changed.iter().all(|it| name(it) == "web"), "{changed:#?}");
    let state = |id: &str| {
        let mut of_it = changed.iter().filter(|it| route(it).id == id);
        of_it.next().map(|it| route(it).status())
    };
    assert_eq!(state(&ids[0]), Some(RouteStatus::Running));
    assert_eq!(
        state(&ids[1]),
        Some(RouteStatus::FailedToStart),
        "it is gone"
    );
    assert_ne!(later, token);

    // A token is of its group and its statuses, in whatever order, and of a server.
    let swapped = [RouteStatus::Running, RouteStatus::Provisioning];
    let mut again = watch_of(&swapped);
    again.resume_token.clone_from(&token);
    api.routes().watch_routes(again).await.expect("the same");
    let mut others = vec![resumed.clone(), resumed.clone(), resumed];
    others[0].resource_group = "other".to_owned();
    others[1].statuses.pop();
    others[2].resume_token.replace_range(20..24, "AAAA");
    for other in others {
        let refusal = api.routes().watch_routes(other).await;
        let refusal = refusal.expect_err("another watch");
        assert_eq!(field_paths(&refusal), ["resume_token"]);
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn d9_the_routes_of_a_group_come_page_by_page(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for (name, replicas) in [("one", 3), ("two", 4)] {
        create(&api, name, replicas).await;
    }
    let foreign = CreateDeploymentRequest {
        name: "foreign".to_owned(),
        metadata: Some(DeploymentMetadata {
            resource_group: "elsewhere".to_owned(),
            ..DeploymentMetadata::default()
        }),
        ..creation(2, manual())
    };
    api.create(foreign).await.expect("it is created");
    let mut request = list_of(&[]);
    request.page_size = 3;
    let (mut all, mut pages) = (Vec::new(), 0);
    let mut watch = RouteFollower::start(&api, watch_of(&[])).await;
    watch.gather(7).await;
    loop {
        let (page, token) = list(&api, &request).await.expect("a page");
        assert!(page.len() <= 3);
        (pages, request.page_token) = (pages + 1, token);
        all.extend(page);
        if request.page_token.is_empty() {
            break;
        }
    }
    let distinct: BTreeSet<_> = all.iter().map(|it| &route(it).id).collect();
    assert_eq!((all.len(), distinct.len(), pages), (7, 7, 3));
    let names: Vec<_> = all.iter().map(name).collect();
    assert_eq!(names, ["one", "one", "one", "two", "two", "two", "two"]);
    let (_, token) = list(&api, &list_with(3, "")).await.expect("a page");
    let mut other = list_with(3, &token);
    other.statuses = vec![RouteStatus::Running.into()];
    let refusal = list(&api, &other).await.expect_err("another list");
    assert_eq!(field_paths(&refusal), ["page_token"]);
}

/// Labels are in each route: 500 of them with 8 KiB are 4 MiB, and a page has 3.
#[apply(both_engines)]
#[tokio::test]
async fn d9_pages_of_routes_end_by_bytes(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let label = |it| (format!("{}-{it}", "k".repeat(60)), "v".repeat(63));
    let labels = (0..64).map(label);
    let request = CreateDeploymentRequest {
        labels: labels.collect(),
        ..creation(500, manual())
    };
    api.create(request).await.expect("it is created");
    let mut watch = RouteFollower::start(&api, watch_of(&[])).await;
    watch.gather(500).await;
    let (first, token) = list(&api, &list_with(500, "")).await.expect("a page");
    assert!(first.len() < 500 && !token.is_empty(), "{}", first.len());
    let (rest, token) = list(&api, &list_with(500, &token)).await.expect("a page");
    let (all, end) = (first.len() + rest.len(), token.is_empty());
    assert_eq!((all, end), (500, true));
}

/// A stream of WatchRoutes.
struct RouteFollower(Streaming<WatchRoutesResponse>);

impl RouteFollower {
    async fn start(api: &Api, request: WatchRoutesRequest) -> Self {
        let reply = api.routes().watch_routes(request).await;
        Self(reply.expect("a watch").into_inner())
    }

    async fn next(&mut self) -> Payload {
        loop {
            let message = within("a message", self.0.message()).await;
            let message = message.expect("the stream goes on").expect("no end");
            match message.payload.expect("a payload") {
                Payload::Heartbeat(_) => {}
                other => return other,
            }
        }
    }

    /// What comes until the next progress, and its token.
    async fn lot(&mut self) -> (Vec<GroupRoute>, String) {
        let mut routes = Vec::new();
        loop {
            match self.next().await {
                Payload::Route(route) => routes.push(route),
                Payload::Progress(progress) => return (routes, progress.resume_token),
                Payload::Heartbeat(_) => unreachable!("they are left out"),
            }
        }
    }

    async fn route(&mut self) -> GroupRoute {
        self.until(|_| true).await
    }

    /// Waits for a route that is as it ought to be.
    async fn until(&mut self, is_so: impl Fn(&Route) -> bool) -> GroupRoute {
        loop {
            if let Payload::Route(it) = self.next().await
                && is_so(route(&it))
            {
                return it;
            }
        }
    }

    /// Waits until so many routes have come. Each as it was last, and the token of then.
    async fn gather(&mut self, count: usize) -> (Vec<GroupRoute>, String) {
        let mut all = BTreeMap::new();
        loop {
            let (lot, token) = self.lot().await;
            all.extend(lot.into_iter().map(|it| (route(&it).id.clone(), it)));
            if all.len() >= count {
                return (all.into_values().collect(), token);
            }
        }
    }
}

fn route(of: &GroupRoute) -> &Route {
    of.route.as_ref().expect("a route")
}

fn name(of: &GroupRoute) -> &str {
    &of.deployment.as_ref().expect("a deployment").name
}

fn watch_of(statuses: &[RouteStatus]) -> WatchRoutesRequest {
    WatchRoutesRequest {
        resource_group: GROUP.to_owned(),
        statuses: statuses.iter().map(|it| (*it).into()).collect(),
        resume_token: String::new(),
    }
}

fn list_of(statuses: &[RouteStatus]) -> RouteServiceListRoutesRequest {
    RouteServiceListRoutesRequest {
        resource_group: GROUP.to_owned(),
        statuses: statuses.iter().map(|it| (*it).into()).collect(),
        ..RouteServiceListRoutesRequest::default()
    }
}

fn list_with(page_size: i32, token: &str) -> RouteServiceListRoutesRequest {
    RouteServiceListRoutesRequest {
        page_size,
        page_token: token.to_owned(),
        ..list_of(&[])
    }
}

async fn list(
    api: &Api,
    request: &RouteServiceListRoutesRequest,
) -> Result<(Vec<GroupRoute>, String), Status> {
    let page = api
        .routes()
        .list_routes(request.clone())
        .await?
        .into_inner();
    Ok((page.routes, page.next_page_token))
}

async fn create(api: &Api, name: &str, replicas: i32) {
    let request = CreateDeploymentRequest {
        name: name.to_owned(),
        ..creation(replicas, manual())
    };
    api.create(request).await.expect("it is created");
}

async fn report(api: &Api, id: &str, status: RouteStatus, address: &str) {
    let report = RouteStatusReport {
        route_id: id.to_owned(),
        status: status.into(),
        address: address.to_owned(),
        ..RouteStatusReport::default()
    };
    let results = api.report(vec![report]).await.expect("results");
    assert!(results[0].applied, "{results:?}");
}

async fn check_in(api: &Api, id: &str, health: Health) {
    let report = RouteHealthReport {
        route_id: id.to_owned(),
        health: health.into(),
        ..RouteHealthReport::default()
    };
    let results = api.report_health(vec![report]).await.expect("results");
    assert!(results[0].applied, "{results:?}");
}
