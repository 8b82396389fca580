//! The feed of routes over a real store on either engine, with its loop running.

use std::{env, time::Duration};

use tempfile::TempDir;
use tokio::task::JoinSet;
use uuid::Uuid;
use viridian_feeds::{Feeds, RouteCursor, RouteUpdate, RouteWatch, WatchError, WatchLimits};
use viridian_store::{
    FailureBackoff, GroupRoute, GroupRouteFilter, HealthReport, Metadata, NewDeployment, Projects,
    Protocol, RequestContext, RevisionSpec, RouteAddress, StatusReport, Store,
};
use viridian_strategy::{DeploymentId, Policy, RouteHealth, RouteId, RouteStatus, RouteTraffic};

struct RouteFixture {
    store: Store,
    feeds: Feeds,
    _loops: JoinSet<()>,
    folder: TempDir,
    /// The server of PostgreSQL and the name of the database there.
    database: Option<(String, String)>,
}

#[derive(Clone, Copy, Debug)]
enum Engine {
    Sqlite,
    Postgres,
}

impl RouteFixture {
    async fn new(engine: Engine) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let (url, database) = match engine {
            Engine::Sqlite => {
                let file = folder.path().join("viridian.db");
                (format!("sqlite:{}", file.display()), None)
            }
            Engine::Postgres => {
                let server = env::var("VIRIDIAN_TEST_POSTGRES").expect("run by scripts/test");
                let name = format!("feeds_{}", Uuid::now_v7().simple());
                execute(&server, &format!("CREATE DATABASE {name}")).await;
                let mut url = url::Url::parse(&server).expect("a URL");
                url.set_path(&name);
                (url.to_string(), Some((server, name)))
            }
        };
        let store = Store::open(&url).await.expect("the database opens");
        let feeds = Feeds::new(store.clone(), WatchLimits::default());
        let mut loops = JoinSet::new();
        loops.spawn(feeds.clone().run_log_reader());
        Self {
            store,
            feeds,
            _loops: loops,
            folder,
            database,
        }
    }

    /// Deletes its database. What a failed test leaves goes with the server.
    async fn finish(self) {
        let Self {
            store,
            feeds,
            _loops: loops,
            folder,
            database,
        } = self;
        drop((store, feeds, loops, folder));
        if let Some((server, name)) = database {
            execute(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        }
    }

    async fn create(&self, group: &str, name: &str, replicas: u32) -> DeploymentId {
        let new = NewDeployment {
            project: "p".to_owned(),
            name: name.to_owned(),
            labels: [("team".to_owned(), "web".to_owned())].into(),
            metadata: Metadata {
                resource_group: group.to_owned(),
                ..Metadata::default()
            },
            target_replicas: replicas,
            policy: Policy::default(),
            revision_history_limit: 10,
            protocol: Protocol::default(),
            initial_revision: Some(RevisionSpec {
                image: "web:1".to_owned(),
                ..RevisionSpec::default()
            }),
        };
        let created = self.store.create_deployment(new, &call()).await;
        let id = created.expect("it is created").deployment.id;
        self.reconcile().await;
        id
    }

    async fn reconcile(&self) {
        let backoff = FailureBackoff::default();
        let reconciled = self.store.reconcile_due(100, &backoff).await;
        reconciled.expect("what is due is done");
    }

    async fn report(&self, route: RouteId, status: RouteStatus) {
        self.report_at(route, status, None).await;
    }

    async fn report_at(&self, route: RouteId, status: RouteStatus, address: Option<&str>) {
        let report = StatusReport {
            route,
            status,
            session_id: String::new(),
            address: address.map(RouteAddress::parse),
            failure: String::new(),
        };
        let results = self.store.report_statuses(vec![report]).await;
        results.expect("it is taken")[0]
            .as_ref()
            .expect("it is applied");
    }

    async fn health(&self, route: RouteId, health: RouteHealth) {
        let report = HealthReport::new(route, health);
        let results = self.store.report_health(vec![report]).await;
        results.expect("it is taken")[0]
            .as_ref()
            .expect("it is applied");
    }

    async fn watch(
        &self,
        statuses: &[RouteStatus],
        after: Option<RouteCursor>,
    ) -> Result<RouteWatch, WatchError> {
        let filter = GroupRouteFilter {
            resource_group: "g".to_owned(),
            projects: Projects::All,
            statuses: statuses.to_vec(),
            or_moved_since: None,
            deployments: None,
        };
        self.feeds.routes().watch(filter, after).await
    }
}

/// What comes until the next progress.
async fn until_progress(watch: &mut RouteWatch) -> (Vec<GroupRoute>, RouteCursor) {
    let mut routes = Vec::new();
    loop {
        for update in watch.next().await.expect("it goes on") {
            match update {
                RouteUpdate::Route(route) => routes.push((*route).clone()),
                RouteUpdate::Progress(cursor) => return (routes, cursor),
            }
        }
    }
}

fn states(routes: &[GroupRoute]) -> Vec<(RouteId, RouteStatus, RouteHealth)> {
    let state = |it: &GroupRoute| (it.route.view.id, it.route.view.status, it.route.view.health);
    routes.iter().map(state).collect()
}

#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_watch_gives_the_present_routes_and_then_each_change(#[case] engine: Engine) {
    let fixture = RouteFixture::new(engine).await;
    fixture.create("g", "one", 3).await;
    fixture.create("h", "of-another-group", 1).await;
    let mut watch = fixture.watch(&LIVE, None).await.expect("a watch");
    let (present, _) = until_progress(&mut watch).await;
    assert_eq!(present.len(), 3);
    assert_eq!(present[0].deployment.labels["team"], "web");
    assert_eq!(present[0].revision.number, 1);
    let id = present[1].route.view.id;

    fixture.report(id, RouteStatus::Running).await;
    let (changed, _) = until_progress(&mut watch).await;
    let running = (id, RouteStatus::Running, RouteHealth::NotChecked);
    assert_eq!(states(&changed), [running], "and no other");
    fixture.health(id, RouteHealth::Healthy).await;
    let (changed, _) = until_progress(&mut watch).await;
    let healthy = (id, RouteStatus::Running, RouteHealth::Healthy);
    assert_eq!(states(&changed), [healthy]);

    // A confirmation changes nothing, and neither does what happens in another group.
    fixture.health(id, RouteHealth::Healthy).await;
    fixture.create("h", "another-one", 1).await;
    fixture.create("g", "two", 1).await;
    let (changed, _) = until_progress(&mut watch).await;
    assert_eq!(changed.len(), 1);
    assert_eq!(changed[0].deployment.name, "two");
    fixture.finish().await;
}

/// Each kind of change, one by one: none of them changes more than one route.
#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_an_address_the_traffic_and_the_end_of_a_route_are_changes(#[case] engine: Engine) {
    let fixture = RouteFixture::new(engine).await;
    let deployment = fixture.create("g", "one", 1).await;
    let mut watch = fixture.watch(&LIVE, None).await.expect("a watch");
    let (present, _) = until_progress(&mut watch).await;
    let blue = present[0].route.view.id;
    for address in ["10.0.0.1:80", "10.0.0.2:80"] {
        let running = RouteStatus::Running;
        fixture.report_at(blue, running, Some(address)).await;
        let (changed, _) = until_progress(&mut watch).await;
        let reported = changed[0].route.address.as_ref();
        assert_eq!(reported.map(ToString::to_string).as_deref(), Some(address));
    }
    fixture.health(blue, RouteHealth::Healthy).await;
    let (changed, _) = until_progress(&mut watch).await;
    assert_eq!(changed[0].route.view.traffic, RouteTraffic::Active);

    // Deleted: it is out of traffic and to be ended, and then it has ended.
    let call = call();
    let deleted = fixture.store.delete_deployment(deployment, &call);
    deleted.await.expect("its end begins");
    fixture.reconcile().await;
    let (changed, _) = until_progress(&mut watch).await;
    assert_eq!(changed[0].route.view.status, RouteStatus::Terminating);
    assert_eq!(changed[0].route.view.traffic, RouteTraffic::Inactive);
    fixture.report(blue, RouteStatus::Terminated).await;
    let (changed, _) = until_progress(&mut watch).await;
    assert_eq!(changed[0].route.view.status, RouteStatus::Terminated);
    let mut later = fixture.watch(&LIVE, None).await.expect("a watch");
    assert_eq!(
        states(&until_progress(&mut later).await.0),
        [],
        "it is gone"
    );
    drop((watch, later));
    fixture.finish().await;
}

/// It is given once more, as it is then; so it is when nobody watched meanwhile.
#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_route_that_leaves_the_statuses_is_given_once_more(#[case] engine: Engine) {
    let fixture = RouteFixture::new(engine).await;
    fixture.create("g", "one", 2).await;
    let mut watch = fixture.watch(&LIVE, None).await.expect("a watch");
    let (present, _) = until_progress(&mut watch).await;
    let [a, b] = [present[0].route.view.id, present[1].route.view.id];
    let running = [RouteStatus::Running];
    let mut watch = fixture.watch(&running, None).await.expect("a watch");
    assert_eq!(states(&until_progress(&mut watch).await.0), []);
    fixture.report(a, RouteStatus::Running).await;
    let (changed, cursor) = until_progress(&mut watch).await;
    assert_eq!(states(&changed).len(), 1);
    fixture.report(a, RouteStatus::Terminated).await;
    // One that never had the status is not given.
    fixture.report(b, RouteStatus::FailedToStart).await;
    let (changed, _) = until_progress(&mut watch).await;
    let over = (a, RouteStatus::Terminated, RouteHealth::NotChecked);
    assert_eq!(states(&changed), [over]);

    let resumed = fixture.watch(&running, Some(cursor)).await;
    let (changed, _) = until_progress(&mut resumed.expect("a watch")).await;
    assert!(states(&changed).contains(&over), "{changed:?}");
    fixture.finish().await;
}

#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_watch_goes_on_after_its_cursor(#[case] engine: Engine) {
    let fixture = RouteFixture::new(engine).await;
    fixture.create("g", "one", 1).await;
    fixture.create("g", "two", 1).await;
    let mut watch = fixture.watch(&LIVE, None).await.expect("a watch");
    let (present, cursor) = until_progress(&mut watch).await;
    drop(watch);
    fixture
        .report(present[0].route.view.id, RouteStatus::Running)
        .await;
    let mut resumed = fixture.watch(&LIVE, Some(cursor)).await.expect("a watch");
    let (changed, later) = until_progress(&mut resumed).await;
    assert_eq!(changed.len(), 1, "only of what has changed: {changed:?}");
    assert_eq!(changed[0].route.view.status, RouteStatus::Running);
    assert!(later.position > cursor.position);

    let beyond = RouteCursor {
        position: later.position + 1_000,
        ..later
    };
    let refused = fixture.watch(&LIVE, Some(beyond)).await.err();
    assert!(matches!(refused, Some(WatchError::UnknownPosition)));
    let old = RouteCursor {
        time: cursor.time - Duration::from_secs(60 * 60),
        ..cursor
    };
    let far = RouteCursor {
        position: later.position - 200_000,
        ..cursor
    };
    for cursor in [old, far] {
        let refused = fixture.watch(&LIVE, Some(cursor)).await.err();
        assert!(matches!(refused, Some(WatchError::Expired)), "{cursor:?}");
    }
    drop(resumed);
    fixture.finish().await;
}

/// What others have read since a cursor is given to the watch that goes on there too.
#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_a_watch_that_goes_on_beside_others_misses_nothing(#[case] engine: Engine) {
    let fixture = RouteFixture::new(engine).await;
    fixture.create("g", "one", 4).await;
    let mut other = fixture.watch(&LIVE, None).await.expect("a watch");
    let (present, mut cursor) = until_progress(&mut other).await;
    for it in &present {
        let id = it.route.view.id;
        // One change while only the other watches, and one while both do.
        fixture.report(id, RouteStatus::Running).await;
        until_progress(&mut other).await;
        let resumed = fixture.watch(&LIVE, Some(cursor)).await;
        let mut resumed = resumed.expect("a watch");
        let (changed, _) = until_progress(&mut resumed).await;
        let running = (id, RouteStatus::Running, RouteHealth::NotChecked);
        assert!(states(&changed).contains(&running), "{changed:?}");
        fixture.health(id, RouteHealth::Degraded).await;
        let degraded = (id, RouteStatus::Running, RouteHealth::Degraded);
        let (changed, reached) = until_progress(&mut resumed).await;
        assert_eq!(states(&changed), [degraded]);
        assert_eq!(states(&until_progress(&mut other).await.0), [degraded]);
        cursor = reached;
    }
    drop(other);
    fixture.finish().await;
}

/// More routes than a page has, of which one changes.
#[rstest::rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_of_many_routes_only_what_has_changed_is_given(#[case] engine: Engine) {
    let fixture = RouteFixture::new(engine).await;
    fixture.create("g", "one", 500).await;
    let mut watch = fixture.watch(&LIVE, None).await.expect("a watch");
    let (present, _) = until_progress(&mut watch).await;
    assert_eq!(present.len(), 500);
    for it in [&present[499], &present[0], &present[250]] {
        let id = it.route.view.id;
        fixture.report(id, RouteStatus::Running).await;
        let (changed, _) = until_progress(&mut watch).await;
        let expected = (id, RouteStatus::Running, RouteHealth::NotChecked);
        assert_eq!(states(&changed), [expected]);
    }
    drop(watch);
    fixture.finish().await;
}

async fn execute(server: &str, statement: &str) {
    let connected = tokio_postgres::connect(server, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("the server answers");
    let driver = tokio::spawn(connection);
    client.batch_execute(statement).await.expect("it is done");
    drop(client);
    driver.await.expect("no panic").expect("it ends well");
}

fn call() -> RequestContext {
    RequestContext {
        actor: "test".to_owned(),
        reason: String::new(),
        request: None,
        expected_generation: None,
    }
}

const LIVE: [RouteStatus; 3] = [
    RouteStatus::Provisioning,
    RouteStatus::Running,
    RouteStatus::Terminating,
];
