//! Apply: one transaction for whatever a manifest asks for, on both engines.

use std::convert::Infallible;

use futures::future::join_all;
use rstest_reuse::apply;
use uuid::Uuid;
use viridian_strategy::{DeploymentState, Policy, RouteHealth, SubStep, verbs::UpdateRejection};

use super::{
    fixture::{Engine, Fixture, automatic, call, engines, manual, new_deployment, with_request},
    invariants,
};
use crate::{
    Applied, ApplyOptions, ApplyRefusal, Deployment, DeploymentSpec, DesiredState, FieldChange,
    Manifest, Metadata, NamedRevision, NewDeployment, Operation, RequestContext, RevisionSpec,
    SpecChange, Store, UnitError, UpdateRefusal,
};

/// A deployment as a test wants it. What it does not say stays as it is.
#[derive(Clone)]
pub(super) struct TestManifest {
    pub(super) name: String,
    pub(super) target: Option<u32>,
    pub(super) policy: Option<Policy>,
    pub(super) image: Option<String>,
}

impl TestManifest {
    pub(super) fn of(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            target: None,
            policy: None,
            image: None,
        }
    }

    pub(super) fn running(self, image: &str) -> Self {
        let image = Some(image.to_owned());
        Self { image, ..self }
    }

    fn by(self, policy: Policy) -> Self {
        let policy = Some(policy);
        Self { policy, ..self }
    }

    pub(super) fn scaled(self, target: u32) -> Self {
        let target = Some(target);
        Self { target, ..self }
    }

    fn spec(&self) -> Option<RevisionSpec> {
        self.image.clone().map(|image| RevisionSpec {
            image,
            ..RevisionSpec::default()
        })
    }
}

/// With its revision for as long as it is looked at.
pub(super) struct Wanted(TestManifest, Option<RevisionSpec>);

impl From<TestManifest> for Wanted {
    fn from(manifest: TestManifest) -> Self {
        let spec = manifest.spec();
        Self(manifest, spec)
    }
}

impl DesiredState for Wanted {
    type Conflict = Infallible;

    fn merge(&self, present: &Deployment) -> Result<SpecChange, Infallible> {
        let mut spec = DeploymentSpec::of(present);
        let mut changes = Vec::new();
        let target = self.0.target.unwrap_or(spec.target_replicas);
        if target != spec.target_replicas {
            let texts = (spec.target_replicas.to_string(), target.to_string());
            changes.push(change("target_replicas", texts));
            spec.target_replicas = target;
        }
        spec.policy = self.0.policy.clone().unwrap_or(spec.policy);
        Ok(SpecChange { spec, changes })
    }

    fn revision(&self) -> Option<&RevisionSpec> {
        self.1.as_ref()
    }

    fn describe_revision(
        &self,
        before: Option<&RevisionSpec>,
        after: &RevisionSpec,
    ) -> Vec<FieldChange> {
        let before = before.map(|it| it.image.clone()).unwrap_or_default();
        vec![change("revision.image", (before, after.image.clone()))]
    }
}

impl Manifest for Wanted {
    fn project(&self) -> &str {
        "p"
    }

    fn name(&self) -> &str {
        &self.0.name
    }

    fn creation(&self) -> Result<(NewDeployment, Vec<FieldChange>), Infallible> {
        let new = NewDeployment {
            metadata: Metadata {
                resource_group: "g".into(),
                ..Metadata::default()
            },
            target_replicas: self.0.target.unwrap_or(2),
            policy: self.0.policy.clone().unwrap_or_else(manual),
            initial_revision: self.1.clone(),
            ..new_deployment("p", &self.0.name.clone())
        };
        Ok((
            new,
            vec![change("name", (String::new(), self.0.name.clone()))],
        ))
    }
}

fn change(path: &str, (old_value, new_value): (String, String)) -> FieldChange {
    FieldChange {
        path: path.to_owned(),
        old_value,
        new_value,
    }
}

pub(super) type Outcome = Result<Applied, UnitError<ApplyRefusal<Infallible>>>;

pub(super) async fn apply_manifest(
    db: &Store,
    manifest: TestManifest,
    options: ApplyOptions,
    call: &RequestContext,
) -> Outcome {
    db.apply_deployment(&Wanted::from(manifest), options, call)
        .await
}

pub(super) const CREATING: ApplyOptions = ApplyOptions {
    supersede: false,
    validate_only: false,
    allow_create: true,
};
pub(super) const SUPERSEDING: ApplyOptions = ApplyOptions {
    supersede: true,
    ..CREATING
};

impl Fixture {
    async fn apply(&self, manifest: TestManifest, options: ApplyOptions) -> Outcome {
        apply_manifest(&self.db, manifest, options, &call()).await
    }

    /// A deployment that runs `web:1`, with `web:2` at its gate.
    async fn two_at_the_gate(&self) -> (TestManifest, Deployment) {
        let manifest = TestManifest::of("web");
        let created = self
            .apply(manifest.clone().running("web:1"), CREATING)
            .await;
        let id = created.expect("it is created").deployment.id;
        self.bring_up(id, RouteHealth::Healthy).await;
        let applied = self
            .apply(manifest.clone().running("web:2"), CREATING)
            .await;
        assert!(applied.expect("it is applied").activated);
        self.settle().await;
        self.bring_up(id, RouteHealth::Healthy).await;
        let deployment = self.get(id).await;
        let gate = Some(SubStep::AwaitingPromotion);
        assert_eq!(deployment.state.sub_step(), gate);
        (manifest, deployment)
    }

    /// Asserts that a validation changes nothing and is told the same as the apply itself,
    /// which it returns.
    async fn apply_as_validated(&self, manifest: TestManifest, options: ApplyOptions) -> Outcome {
        let footprint = self.footprint().await;
        let validate_only = ApplyOptions {
            validate_only: true,
            ..options
        };
        let validated = self.apply(manifest.clone(), validate_only).await;
        assert_eq!(self.footprint().await, footprint, "a validation wrote");
        let applied = self.apply(manifest, options).await;
        let told = |outcome: &Outcome| match outcome {
            Ok(it) => {
                let number = it.revision.as_ref().map(|it| it.number);
                Ok((
                    it.changes.clone(),
                    number,
                    it.created,
                    it.activated,
                    it.aborted,
                ))
            }
            Err(UnitError::Refused(refusal)) => Err(refusal.clone()),
            Err(error) => panic!("{error:?}"),
        };
        assert_eq!(told(&validated), told(&applied));
        if applied.is_err() {
            assert_eq!(self.footprint().await, footprint, "a refusal wrote");
        }
        applied
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b1_a_new_policy_does_not_promote_the_revision_that_it_replaces(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, gate) = fixture.two_at_the_gate().await;
    let wanted = manifest
        .running("web:3")
        .by(automatic(std::time::Duration::ZERO));

    let refused = fixture.apply_as_validated(wanted.clone(), CREATING).await;
    let in_progress = ApplyRefusal::InProgress(NamedRevision {
        id: gate.state.deploying().expect("a rollout"),
        number: gate.numbers.deploying,
    });
    assert!(matches!(refused, Err(UnitError::Refused(it)) if it == in_progress));
    fixture.settle().await;
    let now = fixture.get(gate.id).await;
    assert_eq!(
        (now.state, now.policy),
        (gate.state, gate.policy),
        "refused as a whole"
    );

    let applied = fixture.apply_as_validated(wanted, SUPERSEDING).await;
    let applied = applied.expect("it supersedes");
    assert_eq!(applied.deployment.generation, gate.generation + 1);
    fixture.settle().await;
    let now = fixture.get(gate.id).await;
    assert_eq!(
        now.state.current(),
        gate.state.current(),
        "nothing was promoted"
    );
    let third = applied.revision.expect("a revision");
    assert_eq!((third.number, now.state.deploying()), (3, Some(third.id)));

    fixture.bring_up(gate.id, RouteHealth::Healthy).await;
    let current = third.id;
    let promoted = fixture.get(gate.id).await.state;
    assert_eq!(promoted, DeploymentState::Ready { current });
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_a_manifest_that_matches_changes_no_row(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, gate) = fixture.two_at_the_gate().await;
    let before = fixture.footprint().await;
    let manifest = manifest.running("web:2").scaled(2).by(manual());
    let applied = fixture.apply_as_validated(manifest, SUPERSEDING).await;
    let applied = applied.expect("it matches");
    assert!(!applied.created && !applied.activated && !applied.aborted);
    assert_eq!(applied.changes, []);
    let revision = applied.revision.expect("the one on its way");
    assert_eq!(
        (revision.number, Some(revision.id)),
        (2, gate.state.deploying())
    );
    assert_eq!(applied.deployment, gate);
    assert_eq!(fixture.footprint().await, before);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_the_manifest_that_serves_aborts_the_rollout(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, gate) = fixture.two_at_the_gate().await;
    let manifest = manifest.running("web:1").scaled(3);
    let refused = fixture.apply_as_validated(manifest.clone(), CREATING).await;
    assert!(matches!(
        refused,
        Err(UnitError::Refused(ApplyRefusal::InProgress(_)))
    ));
    let applied = fixture.apply_as_validated(manifest, SUPERSEDING).await;
    let applied = applied.expect("it is aborted");
    assert!(applied.aborted && !applied.activated);
    let current = gate.state.current().expect("it serves");
    assert_eq!(applied.deployment.state, DeploymentState::Ready { current });
    assert_eq!(applied.revision.map(|it| it.number), Some(1));
    let texts = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    let expected = [
        change("target_replicas", texts("2", "3")),
        change("revision.image", texts("web:2", "web:1")),
    ];
    assert_eq!(applied.changes, expected);
    let history = fixture.history(gate.id).await;
    let [last, first, ..] = &history[..] else {
        panic!("by way of ROLLING_BACK")
    };
    assert_eq!(
        (first.phase, last.phase),
        (Operation::Abort, Operation::Abort)
    );
    assert_eq!(first.changes, expected, "once, where it began");
    assert_eq!(last.changes, []);
    assert_eq!(fixture.get(gate.id).await.target_replicas, 3);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_an_older_spec_is_a_new_revision(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, gate) = fixture.two_at_the_gate().await;
    let promoted = fixture
        .db
        .complete_manual_promote(gate.id, None, &call())
        .await;
    promoted.expect("it is ready");
    let applied = fixture
        .apply_as_validated(manifest.running("web:1"), CREATING)
        .await;
    let revision = applied
        .expect("it is deployed")
        .revision
        .expect("a revision");
    assert_eq!(revision.number, 3);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn c4_the_history_has_what_an_apply_and_an_update_changed(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, gate) = fixture.two_at_the_gate().await;
    fixture
        .apply(manifest.clone().running("web:3").scaled(4), SUPERSEDING)
        .await
        .expect("it supersedes");
    fixture
        .apply(manifest.scaled(5), CREATING)
        .await
        .expect("an update");
    let history = fixture.history(gate.id).await;
    let of = |phase| {
        let entry = history.iter().find(|it| it.phase == phase);
        entry.expect("an entry").changes.clone()
    };
    let texts = |from: &str, to: &str| (from.to_owned(), to.to_owned());
    assert_eq!(
        of(Operation::Update),
        [change("target_replicas", texts("4", "5"))]
    );
    assert_eq!(
        of(Operation::Activate),
        [
            change("target_replicas", texts("2", "4")),
            change("revision.image", texts("web:2", "web:3")),
        ]
    );
    assert_eq!(of(Operation::Create), []);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b1_what_is_not_there_is_created_unless_that_is_not_wanted(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let manifest = TestManifest::of("new").running("web:1");
    let existing_only = ApplyOptions {
        allow_create: false,
        ..CREATING
    };
    let refused = fixture
        .apply_as_validated(manifest.clone(), existing_only)
        .await;
    assert!(matches!(
        refused,
        Err(UnitError::Refused(ApplyRefusal::Missing))
    ));
    let seen = RequestContext {
        expected_generation: Some(1),
        ..call()
    };
    let refused = apply_manifest(&fixture.db, manifest.clone(), CREATING, &seen).await;
    assert!(matches!(
        refused,
        Err(UnitError::Generation { actual: 0, .. })
    ));

    let created = fixture.apply_as_validated(manifest.clone(), CREATING).await;
    let created = created.expect("it is created");
    assert!(created.created && created.activated);
    let again = fixture
        .apply_as_validated(manifest.clone(), existing_only)
        .await;
    assert_eq!(again.expect("it matches").deployment, created.deployment);

    // A name of a deployment that ends is free.
    let id = created.deployment.id;
    fixture
        .db
        .delete_deployment(id, &call())
        .await
        .expect("it is deleted");
    let other = fixture
        .apply(manifest, CREATING)
        .await
        .expect("it is created");
    assert!(other.created && other.deployment.id != id);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b1_of_several_who_create_the_same_one_creates(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    for round in 0..20 {
        let name = format!("new-{round}");
        let manifest = TestManifest::of(&name).running("web:1");
        let calls = (0..6).map(|_| {
            let (db, manifest) = (fixture.db.clone(), manifest.clone());
            tokio::spawn(async move { apply_manifest(&db, manifest, CREATING, &call()).await })
        });
        let applied = join_all(calls).await.into_iter();
        let applied: Vec<Applied> = applied
            .map(|it| it.expect("no panic").expect("none is refused"))
            .collect();
        assert_eq!(applied.iter().filter(|it| it.created).count(), 1);
        let ids = applied.iter().map(|it| it.deployment.id);
        assert_eq!(ids.collect::<std::collections::HashSet<_>>().len(), 1);
        assert_eq!(fixture.history(applied[0].deployment.id).await.len(), 1);
    }
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_of_an_apply_gets_the_first_reply(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let manifest = TestManifest::of("web").running("web:1");
    let mut replies = Vec::new();
    for terms in [with_request(), with_request()] {
        let first = apply_manifest(&fixture.db, manifest.clone(), CREATING, &terms).await;
        let footprint = fixture.footprint().await;
        let again = apply_manifest(&fixture.db, manifest.clone(), CREATING, &terms).await;
        assert_eq!(format!("{again:?}"), format!("{first:?}"));
        assert_eq!(fixture.footprint().await, footprint);
        replies.push(first.expect("it is applied").created);
    }
    assert_eq!(replies, [true, false]);

    // Also when the deployment is gone since, which a repeat must not make anew.
    let terms = with_request();
    let manifest = manifest.running("web:2");
    let first = apply_manifest(&fixture.db, manifest.clone(), CREATING, &terms).await;
    let first = first.expect("it is applied");
    let id = first.deployment.id;
    fixture
        .db
        .delete_deployment(id, &call())
        .await
        .expect("it is deleted");
    let again = apply_manifest(&fixture.db, manifest, CREATING, &terms).await;
    assert_eq!(
        format!("{:?}", again.expect("the reply")),
        format!("{first:?}")
    );
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b1_what_an_update_may_not_change_an_apply_may_not(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, _) = fixture.two_at_the_gate().await;
    let rolling = Policy {
        strategy: viridian_strategy::Strategy::Rolling(viridian_strategy::RollingUpdate::default()),
        ..Policy::default()
    };
    let manifest = manifest.running("web:3").by(rolling);
    let refused = fixture.apply_as_validated(manifest, SUPERSEDING).await;
    let in_use = UpdateRefusal::Rules(UpdateRejection::StrategyInUse);
    assert!(matches!(
        refused,
        Err(UnitError::Refused(ApplyRefusal::Update(it))) if it == in_use
    ));
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn b6_the_same_spec_is_deployed_once_by_whatever_call(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (manifest, gate) = fixture.two_at_the_gate().await;
    let before = fixture.footprint().await;
    let same = Wanted::from(manifest.running("web:2"));
    let kept = fixture
        .db
        .deploy_spec(gate.id, &same, CREATING, &call())
        .await;
    let kept = kept.expect("nothing is to be done");
    assert!(!kept.activated);
    assert_eq!(kept.revision.map(|it| it.number), Some(2));
    assert_eq!(fixture.footprint().await, before);

    let unknown = viridian_strategy::DeploymentId(Uuid::from_u128(9));
    let refused = fixture
        .db
        .deploy_spec(unknown, &same, CREATING, &call())
        .await;
    assert!(matches!(refused, Err(UnitError::NoDeployment(id)) if id == unknown));
}
