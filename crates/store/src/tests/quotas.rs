//! Quotas of projects: what is counted, what is refused, and that nobody gets past one.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};

use futures::future::join_all;
use rstest_reuse::apply;
use uuid::Uuid;
use viridian_strategy::{
    DeploymentId, ProjectQuota, ProjectUsage, QuotaResource, QuotaViolation, RouteHealth,
};

use super::{
    apply::{CREATING, TestManifest, apply_manifest},
    chance::count,
    fixture::{
        Engine, Fixture, amend, call, engines, manual, new_deployment, on_heap, spec, with_request,
    },
    invariants,
    migrations::revert_with,
};
use crate::{
    ApplyOptions, CreateRefusal, Limits, NewDeployment, QuotaSource, RequestContext, Retention,
    RevisionSpec, StoreError, UnitError, Updated, check, recount,
};

/// The quotas of a test, which it may change.
#[derive(Clone, Default)]
struct Quotas(Arc<Mutex<BTreeMap<String, ProjectQuota>>>);

impl Quotas {
    fn set(&self, project: &str, quota: ProjectQuota) {
        let mut quotas = self.0.lock().expect("no panic");
        quotas.insert(project.to_owned(), quota);
    }

    fn source(&self) -> QuotaSource {
        let quotas = Arc::clone(&self.0);
        QuotaSource::new(move |project| {
            let quotas = quotas.lock().expect("no panic");
            quotas.get(project).copied().unwrap_or_default()
        })
    }
}

async fn limited(engine: Engine) -> (Fixture, Quotas) {
    // Who waits for others is to get its turn, however busy the machine is.
    let limits = Limits {
        lock_timeout: Duration::from_secs(20),
        acquire_timeout: Duration::from_secs(20),
        ..Limits::default()
    };
    let mut fixture = Fixture::within(engine, limits).await;
    let quotas = Quotas::default();
    fixture.db = fixture.db.clone().with_quotas(quotas.source());
    (fixture, quotas)
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_what_is_too_much_is_refused_whole(#[case] engine: Engine) {
    let (fixture, quotas) = limited(engine).await;
    quotas.set("p", quota(2, 10, 0, 0));
    let first = create(&fixture, "p", 4).await.expect("there is room");
    create(&fixture, "p", 6).await.expect("up to the quota");
    let before = (fixture.footprint().await, fixture.usage("p").await);

    let both = create(&fixture, "p", 1).await;
    let violations = violations(both);
    let exceeded = |resource, limit, used| QuotaViolation {
        resource,
        limit,
        used,
        requested: 1,
    };
    let expected = [
        exceeded(QuotaResource::Deployments, 2, 2),
        exceeded(QuotaResource::Replicas, 10, 10),
    ];
    assert_eq!(violations, expected);
    let scaled = scale(&fixture, first, 5).await;
    assert_eq!(over(scaled), [expected[1]]);
    let applied = ApplyOptions {
        validate_only: true,
        ..CREATING
    };
    for options in [applied, CREATING] {
        let manifest = TestManifest::of("applied").scaled(1).running("web:1");
        let terms = call();
        let refused = on_heap(|| apply_manifest(&fixture.db, manifest, options, &terms)).await;
        assert_eq!(over(refused), expected, "{options:?}");
    }
    let after = (fixture.footprint().await, fixture.usage("p").await);
    assert_eq!(after, before, "nothing was changed");

    create(&fixture, "q", 9).await.expect("another project");
    scale(&fixture, first, 3).await.expect("less");
    scale(&fixture, first, 4).await.expect("and back again");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_a_lower_quota_refuses_only_growth(#[case] engine: Engine) {
    let (fixture, quotas) = limited(engine).await;
    let id = create(&fixture, "p", 10).await.expect("no quota");
    quotas.set("p", quota(1, 3, 1, 10));
    scale(&fixture, id, 9).await.expect("less, and still over");
    let grown = scale(&fixture, id, 10).await;
    assert_eq!(over(grown).len(), 1);
    let paused = fixture.db.pause_deployment(id, &call()).await;
    paused.expect("it uses no more");
    let revision = fixture.db.create_revision(id, spec(), true, &call()).await;
    let resources: Vec<_> = over(revision).iter().map(|it| it.resource).collect();
    assert_eq!(resources, [QuotaResource::Revisions, QuotaResource::Bytes]);
    let deleted = fixture.db.delete_deployment(id, &call()).await;
    deleted.expect("it gives back");
    assert_eq!(fixture.usage("p").await.deployments, 0);
    assert_eq!(fixture.usage("p").await.replicas, 0);
    invariants::hold(&fixture).await;
}

/// Bytes are those that are stored, in whatever letters.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_bytes_are_counted_as_they_are_stored(#[case] engine: Engine) {
    let (fixture, quotas) = limited(engine).await;
    let terms = call();
    let id = create(&fixture, "p", 0).await.expect("no quota");
    let before = fixture.usage("p").await.bytes;
    quotas.set("p", quota(0, 0, 0, before + 1_000));
    let large = |length| RevisionSpec {
        image: "ü\n".repeat(length),
        ..spec()
    };
    // A line break is two letters in JSON.
    let refused = fixture.db.create_revision(id, large(300), false, &terms);
    assert_eq!(over(refused.await)[0].resource, QuotaResource::Bytes);
    let revision = fixture.db.create_revision(id, large(150), false, &terms);
    revision.await.expect("it fits");
    let label = amend(|spec| drop(spec.labels.insert("tier".into(), "ü".repeat(30))));
    let labelled = fixture.db.update_deployment(id, label, &call()).await;
    labelled.expect("it fits as well");
    let label = amend(|spec| drop(spec.labels.insert("tier".into(), "ü".repeat(300))));
    let labelled = fixture.db.update_deployment(id, label, &call()).await;
    assert_eq!(over(labelled).len(), 1);
    let unlabelled = amend(|spec| spec.labels.clear());
    let unlabelled = fixture.db.update_deployment(id, unlabelled, &call()).await;
    unlabelled.expect("it is less");
    invariants::hold(&fixture).await;
}

/// In one batch with others, whose changes are made all the same.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_who_is_over_its_quota_holds_up_no_other(#[case] engine: Engine) {
    let (fixture, quotas) = limited(engine).await;
    let over_quota = create(&fixture, "p", 1).await.expect("no quota");
    quotas.set("p", quota(0, 1, 0, 0));
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(create(&fixture, "q", 1).await.expect("no quota"));
    }
    let calls = others.iter().map(|&id| scale(&fixture, id, 2));
    let (refused, done) = futures::join!(scale(&fixture, over_quota, 2), join_all(calls));
    assert_eq!(over(refused).len(), 1);
    for done in done {
        done.expect("it has no quota");
    }
    assert_eq!(fixture.usage("q").await.replicas, 16);
    invariants::hold(&fixture).await;
}

/// A repeat of the call that took the last room gets its reply, and not a refusal.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_a_repeat_is_not_refused(#[case] engine: Engine) {
    let (fixture, quotas) = limited(engine).await;
    quotas.set("p", quota(1, 0, 0, 0));
    let call = with_request();
    let new = deployment("p", 1);
    let first = fixture.db.create_deployment(new.clone(), &call).await;
    let again = fixture.db.create_deployment(new, &call).await;
    let [first, again] = [first, again].map(|it| it.expect("created").deployment.id);
    assert_eq!(first, again);
    assert_eq!(fixture.usage("p").await.deployments, 1);
}

/// As many callers as may make it too much, all at once, round after round.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_nobody_gets_past_a_quota_together_with_others(#[case] engine: Engine) {
    let (fixture, quotas) = limited(engine).await;
    let rounds = count("VIRIDIAN_ROUNDS", 100);
    for round in 0..rounds {
        let project = format!("p{round}");
        quotas.set(&project, quota(3, 7, 4, 0));
        let creating = (0..6).map(|_| create(&fixture, &project, 1));
        let created = join_all(creating).await;
        let ids: Vec<_> = created.iter().filter_map(|it| it.as_ref().ok()).collect();
        assert_eq!(ids.len(), 3, "{created:?}");
        for refused in created.iter().filter(|it| it.is_err()) {
            assert_eq!(
                violations(refused.clone())[0].resource,
                QuotaResource::Deployments
            );
        }
        // 3 replicas of 7, and 3 revisions of 4.
        let scaling = ids.iter().map(|&&id| scale(&fixture, id, 3));
        let revising = ids.iter().map(|&&id| {
            let db = &fixture.db;
            async move { db.create_revision(id, spec(), false, &call()).await }
        });
        let (scaled, revised) = futures::join!(join_all(scaling), join_all(revising));
        assert_eq!(scaled.iter().filter(|it| it.is_ok()).count(), 2);
        assert_eq!(revised.iter().filter(|it| it.is_ok()).count(), 1);
        for refused in scaled.into_iter().filter(Result::is_err) {
            over(refused);
        }
        let used = fixture.usage(&project).await;
        let used = (used.deployments, used.replicas, used.revisions);
        assert_eq!(used, (3, 7, 4), "round {round}");
    }
    invariants::hold(&fixture).await;
}

/// Tombstones and their revisions count as long as they are stored.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_what_is_pruned_is_given_back(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let terms = call();
    let kept = fixture.ready(1, manual()).await;
    let narrow = amend(|spec| spec.revision_history_limit = 1);
    let narrowed = fixture.db.update_deployment(kept, narrow, &call()).await;
    narrowed.expect("it is updated");
    for _ in 0..3 {
        let revision = fixture.db.create_revision(kept, spec(), false, &terms);
        revision.await.expect("it is recorded");
    }
    let gone = fixture.created(1, manual()).await;
    let destroyed = fixture.db.destroy_deployment(gone, &call()).await;
    destroyed.expect("it ends at once");
    assert_eq!(fixture.usage("p").await.deployments, 1);
    assert_eq!(fixture.usage("p").await.revisions, 5);
    fixture.bring_up(kept, RouteHealth::Healthy).await;
    let now = fixture.db.now().await.expect("the time");
    let later = now + Duration::from_secs(60 * 24 * 60 * 60);
    let pruned = fixture.db.prune_as_of(&Retention::default(), later).await;
    let pruned = pruned.expect("it prunes");
    assert_eq!((pruned.deployments, pruned.revisions), (1, 2));
    assert_eq!(fixture.usage("p").await.revisions, 2);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_what_was_there_before_is_counted_by_the_migration(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.at_the_gate(2, manual()).await;
    let gone = create(&fixture, "q", 3).await.expect("created");
    let deleted = fixture.db.delete_deployment(gone, &call()).await;
    deleted.expect("it is deleted");
    let used = [fixture.usage("p").await, fixture.usage("q").await];
    let (url, keeper) = fixture.close();
    revert_with(&url, "20261130000016").await;
    let fixture = Fixture::reopen((url, keeper)).await;
    let counted = [fixture.usage("p").await, fixture.usage("q").await];
    assert_eq!(counted, used);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g11_a_wrong_count_is_found_and_counted_again(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.at_the_gate(2, manual()).await;
    let used = fixture.usage("p").await;
    for tampered in [
        "UPDATE project_usage SET bytes = bytes + 1",
        "DELETE FROM project_usage",
        "INSERT INTO project_usage VALUES ('none', 1, 0, 0, 0)",
    ] {
        fixture.tamper(tampered).await.expect("it is tampered with");
        let found = check(&fixture.url, None).await.expect("it is checked");
        let found: Vec<_> = found.violations.iter().map(|it| it.invariant).collect();
        assert_eq!(found, ["I36"], "{tampered}");
        match engine {
            // The server holds the file.
            Engine::Sqlite => fixture.db.recount().await.expect("it is counted"),
            Engine::Postgres => recount(&fixture.url).await.expect("it is counted"),
        }
        assert_eq!(fixture.usage("p").await, used);
        invariants::hold(&fixture).await;
    }
}

impl Fixture {
    async fn usage(&self, project: &str) -> ProjectUsage {
        let mut reader = self.db.reader().await.expect("a reader");
        reader.find_usage(project).await.expect("it is read")
    }
}

fn quota(deployments: i64, replicas: i64, revisions: i64, bytes: i64) -> ProjectQuota {
    ProjectQuota {
        deployments,
        replicas,
        revisions,
        bytes,
    }
}

fn deployment(project: &str, target_replicas: u32) -> NewDeployment {
    NewDeployment {
        labels: [("owner".into(), "ü".into())].into(),
        target_replicas,
        ..new_deployment(project, &format!("d-{}", Uuid::now_v7()))
    }
}

type Created = Result<DeploymentId, Vec<QuotaViolation>>;

async fn create(fixture: &Fixture, project: &str, target_replicas: u32) -> Created {
    let new = deployment(project, target_replicas);
    let terms = call();
    let created = on_heap(|| fixture.db.create_deployment(new, &terms)).await;
    match created {
        Ok(Updated { deployment }) => Ok(deployment.id),
        error => Err(over::<_, CreateRefusal>(error)),
    }
}

async fn scale(
    fixture: &Fixture,
    id: DeploymentId,
    target: u32,
) -> Result<Updated, UnitError<crate::UpdateRefusal<std::convert::Infallible>>> {
    let terms = RequestContext::default();
    let change = amend(move |spec| spec.target_replicas = target);
    on_heap(|| fixture.db.update_deployment(id, change, &terms)).await
}

fn violations(created: Created) -> Vec<QuotaViolation> {
    created.expect_err("it is too much")
}

/// What is too much of a call that a quota refused.
fn over<T: std::fmt::Debug, R: std::fmt::Debug>(
    result: Result<T, UnitError<R>>,
) -> Vec<QuotaViolation> {
    match result {
        Err(UnitError::Store(StoreError::OverQuota(excess))) => excess.violations,
        other => panic!("no quota refused it: {other:?}"),
    }
}
