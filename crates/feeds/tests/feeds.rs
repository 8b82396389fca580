//! The feeds over a real store on SQLite, with their loops running.

use std::{collections::HashSet, time::Duration};

use tempfile::TempDir;
use tokio::{task::JoinSet, time::Instant};
use uuid::Uuid;
use viridian_feeds::{
    Feeds, TableTarget, WatchCursor, WatchError, WatchLimits, WatchTarget, WatchedEvent,
};
use viridian_store::{
    Action, DeploymentName, Metadata, NewDeployment, Projects, Protocol, RequestContext,
    RevisionSpec, Store,
};
use viridian_strategy::{DeploymentId, Policy};

struct FeedFixture {
    store: Store,
    feeds: Feeds,
    _loops: JoinSet<()>,
    _folder: TempDir,
}

impl FeedFixture {
    async fn new(limits: WatchLimits) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let url = format!("sqlite:{}", folder.path().join("viridian.db").display());
        let store = Store::open(&url).await.expect("the database opens");
        let feeds = Feeds::new(store.clone(), limits);
        let mut loops = JoinSet::new();
        loops.spawn(feeds.clone().run_log_reader());
        loops.spawn(feeds.clone().run_assignment_reader());
        Self {
            store,
            feeds,
            _loops: loops,
            _folder: folder,
        }
    }

    async fn create(&self, project: &str, name: &str) -> DeploymentId {
        let new = NewDeployment {
            project: project.to_owned(),
            name: name.to_owned(),
            labels: [].into(),
            metadata: Metadata {
                resource_group: "g".to_owned(),
                ..Metadata::default()
            },
            target_replicas: 1,
            policy: Policy::default(),
            revision_history_limit: 10,
            protocol: Protocol::default(),
            initial_revision: Some(RevisionSpec {
                image: "web:1".to_owned(),
                ..RevisionSpec::default()
            }),
        };
        let created = self.store.create_deployment(new, &call()).await;
        created.expect("it is created").deployment.id
    }

    /// Two events: of the pause, and of its end.
    async fn pause_and_resume(&self, id: DeploymentId) {
        let paused = self.store.pause_deployment(id, &call()).await;
        paused.expect("it is paused");
        let resumed = self.store.resume_deployment(id, &call()).await;
        resumed.expect("it is resumed");
    }
}

fn call() -> RequestContext {
    RequestContext {
        actor: "test".to_owned(),
        reason: String::new(),
        request: None,
        expected_generation: None,
    }
}

fn sequences(events: &[WatchedEvent]) -> Vec<(bool, i64)> {
    let sequence = |it: &WatchedEvent| (it.is_snapshot, it.event.event.deployment.sequence);
    events.iter().map(sequence).collect()
}

fn of_project() -> WatchTarget {
    WatchTarget::Project("p".to_owned())
}

/// More deployments than a statement may have variables.
#[tokio::test(flavor = "multi_thread")]
async fn g3_watches_of_many_deployments_end_no_other() {
    let fixture = FeedFixture::new(WatchLimits::default()).await;
    let id = fixture.create("p", "one").await;
    let events = fixture.feeds.events();
    let mut watch = events.watch(of_project(), None).await.expect("a watch");
    watch.next().await.expect("snapshots");
    let mut others = Vec::new();
    for _ in 0..400 {
        let ids = (0..100).map(|_| DeploymentId(Uuid::now_v7())).collect();
        let target = WatchTarget::Deployments(ids);
        others.push(events.watch(target, None).await.expect("a watch"));
    }
    fixture.pause_and_resume(id).await;
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(watch.next().await.expect("events"));
    }
    assert_eq!(sequences(&found), [(false, 2), (false, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_gives_the_current_state_and_then_every_event() {
    let fixture = FeedFixture::new(WatchLimits::default()).await;
    let id = fixture.create("p", "one").await;
    fixture.create("q", "of-another-project").await;
    let events = fixture.feeds.events();
    let mut watch = events.watch(of_project(), None).await.expect("a watch");
    let first = watch.next().await.expect("snapshots");
    assert_eq!(sequences(&first), [(true, 1)]);

    fixture.pause_and_resume(id).await;
    let mut found = Vec::new();
    while found.len() < 2 {
        found.extend(watch.next().await.expect("events"));
    }
    assert_eq!(sequences(&found), [(false, 2), (false, 3)]);

    // Another watch goes on in the middle, in the snapshots too.
    let mut watch = events
        .watch(of_project(), Some(found[0].cursor))
        .await
        .expect("a watch");
    let rest = watch.next().await.expect("the rest");
    assert_eq!(sequences(&rest), [(false, 3)]);
    let cursor = first[0].cursor;
    assert_eq!(cursor.snapshots_after, Some(id));
    let mut watch = events
        .watch(of_project(), Some(cursor))
        .await
        .expect("a watch");
    let rest = watch.next().await.expect("the rest");
    assert_eq!(sequences(&rest), [(false, 2), (false, 3)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_watch_misses_nothing_until_its_patience_is_over() {
    let limits = WatchLimits {
        buffer: 1,
        patience: Duration::from_secs(3600),
    };
    let fixture = FeedFixture::new(limits).await;
    let id = fixture.create("p", "one").await;
    let target = WatchTarget::Deployments(vec![id]);
    let events = fixture.feeds.events();
    let mut watch = events.watch(target, None).await.expect("a watch");
    assert_eq!(watch.next().await.expect("a snapshot").len(), 1);

    let mut expected = Vec::new();
    for turn in 0..3 {
        fixture.pause_and_resume(id).await;
        expected.extend([(false, 2 + 2 * turn), (false, 3 + 2 * turn)]);
    }
    let mut found = Vec::new();
    while found.len() < expected.len() {
        found.extend(watch.next().await.expect("events"));
        watch.check_progress(Instant::now()).expect("it has time");
    }
    assert_eq!(sequences(&found), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_without_progress_fails() {
    let limits = WatchLimits {
        buffer: 1,
        patience: Duration::ZERO,
    };
    let fixture = FeedFixture::new(limits).await;
    let id = fixture.create("p", "one").await;
    let events = fixture.feeds.events();
    let mut watch = events.watch(of_project(), None).await.expect("a watch");
    let offered_at = Instant::now();
    let error = loop {
        // While it waits for its mailbox, so that this is what overflows: one that
        // reads the log keeps nothing for its consumer.
        let (events, ()) = tokio::join!(watch.next(), fixture.pause_and_resume(id));
        if let Err(error) = events.and_then(|_| watch.check_progress(offered_at)) {
            break error;
        }
    };
    assert!(matches!(error, WatchError::TooSlow), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cursor_of_another_database_is_refused() {
    let fixture = FeedFixture::new(WatchLimits::default()).await;
    fixture.create("p", "one").await;
    let cursor = WatchCursor {
        position: 1_000,
        snapshots_after: None,
    };
    let watch = fixture.feeds.events().watch(of_project(), Some(cursor));
    match watch.await {
        Err(WatchError::UnknownPosition) => {}
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it is taken"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_come_at_once_and_then_when_they_change() {
    let fixture = FeedFixture::new(WatchLimits::default()).await;
    let ids = [
        fixture.create("p", "one").await,
        fixture.create("p", "two").await,
    ];
    let foreign = fixture.create("q", "other").await;
    let tables = fixture.feeds.tables();
    let mut all = tables.watch(TableTarget::All, Projects::All);
    let mut of_project = tables.watch(TableTarget::All, Projects::These(vec!["p".into()]));
    let mut named = tables.watch(of_ids([ids[1]]), Projects::All);
    let whose = |groups: Vec<viridian_feeds::TableGroup>| {
        let tables = groups.concat();
        tables
            .iter()
            .map(|it| it.deployment)
            .collect::<HashSet<_>>()
    };
    let every = HashSet::from([ids[0], ids[1], foreign]);
    assert_eq!(whose(all.next().await.expect("tables")), every);
    assert_eq!(whose(of_project.next().await.expect("tables")), ids.into());
    assert_eq!(whose(named.next().await.expect("a table")), [ids[1]].into());

    // A new deployment is a new table to those who watch all.
    let hidden = fixture.create("q", "hidden").await;
    assert_eq!(whose(all.next().await.expect("a table")), [hidden].into());
    let seen = fixture.create("p", "seen").await;
    assert_eq!(whose(all.next().await.expect("a table")), [seen].into());
    let of_project = of_project.next().await.expect("a table");
    assert_eq!(whose(of_project), [seen].into(), "only its project's");
}

/// It is there at once for those who follow the name, and for nobody who follows another.
#[tokio::test(flavor = "multi_thread")]
async fn d6_whoever_gets_a_name_is_followed() {
    let fixture = FeedFixture::new(WatchLimits::default()).await;
    let tables = fixture.feeds.tables();
    let mut watches = ["one", "other"].map(|name| {
        let target = TableTarget::Deployments {
            ids: HashSet::new(),
            names: vec![DeploymentName {
                project: "p".into(),
                name: name.into(),
            }],
        };
        tables.watch(target, Projects::All)
    });
    fixture.create("q", "one").await;
    let one = fixture.create("p", "one").await;
    let other = fixture.create("p", "other").await;
    for (watch, expected) in watches.iter_mut().zip([one, other]) {
        let tables = watch.next().await.expect("a table");
        let found: Vec<_> = tables.iter().flatten().map(|it| it.deployment).collect();
        assert_eq!(found, [expected]);
    }
}

fn of_ids<const N: usize>(ids: [DeploymentId; N]) -> TableTarget {
    TableTarget::Deployments {
        ids: ids.into(),
        names: Vec::new(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn assignments_come_once_each() {
    let fixture = FeedFixture::new(WatchLimits::default()).await;
    let one = fixture.create("p", "one").await;
    let assignments = fixture.feeds.assignments();
    let mut watch = assignments.watch("g", &Projects::All);
    let open = watch.next().await;
    let of = |it: &std::sync::Arc<viridian_store::Assignment>| (it.action, it.route.deployment);
    assert_eq!(
        open.iter().map(of).collect::<Vec<_>>(),
        [(Action::Start, one)]
    );

    let two = fixture.create("p", "two").await;
    let new = watch.next().await;
    assert_eq!(
        new.iter().map(of).collect::<Vec<_>>(),
        [(Action::Start, two)]
    );
}
