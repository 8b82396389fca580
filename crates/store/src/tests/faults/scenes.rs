//! The subject of each unit of work: what there is when it begins.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use viridian_strategy::{
    BlueGreen, Canary, CanaryStep, DeploymentId, IntOrPercent, Policy, RevisionId, RouteHealth,
    RouteId, RouteStatus, Strategy, SubStep,
};

use super::{
    super::fixture::{Fixture, automatic, call, manual, spec},
    units::{Unit, new, target},
};
use crate::AdvanceOptions;

/// What a unit is about.
#[derive(Default)]
pub(super) struct UnitTarget {
    pub(super) deployment: Option<DeploymentId>,
    pub(super) revision: Option<RevisionId>,
    pub(super) routes: Vec<RouteId>,
    /// The other member of a set.
    pub(super) other: Option<DeploymentId>,
}

impl Unit {
    /// Brings everything to where the unit begins.
    pub(super) fn set(self, fixture: &Fixture) -> BoxFuture<'_, UnitTarget> {
        match self {
            Self::Create | Self::CreateIdle => async { UnitTarget::default() }.boxed(),
            Self::Activate => {
                async { UnitTarget::ready(fixture).await.and_another(fixture).await }.boxed()
            }
            Self::ActivateDirectly => async {
                let created = fixture.db.create_deployment(new(None), &call()).await;
                let id = created.expect("it is created").deployment.id;
                UnitTarget::of(id).and_another(fixture).await
            }
            .boxed(),
            Self::ActivateRefused | Self::Supersede => async {
                let (id, _) = fixture.at_the_gate(2, manual()).await;
                UnitTarget::of(id).and_another(fixture).await
            }
            .boxed(),
            Self::Advance | Self::AbortCanary | Self::DeleteCanary | Self::RollBackCanary => {
                async { UnitTarget::of(at_a_step(fixture).await) }.boxed()
            }
            Self::SupersedeCanary => async {
                let target = UnitTarget::of(at_a_step(fixture).await);
                target.and_another(fixture).await
            }
            .boxed(),
            Self::Promote | Self::Abort => {
                async { UnitTarget::of(fixture.at_the_gate(2, manual()).await.0) }.boxed()
            }
            Self::PromoteAndRetain => {
                async { UnitTarget::of(fixture.at_the_gate(2, retaining(LONG_RETENTION)).await.0) }
                    .boxed()
            }
            Self::PromoteSet => async {
                let (other, _) = fixture.at_the_gate(1, retaining(LONG_RETENTION)).await;
                let (id, _) = fixture.at_the_gate(2, manual()).await;
                UnitTarget::of(id).with(other)
            }
            .boxed(),
            Self::RollBackSet => async {
                let retaining = || retaining(LONG_RETENTION);
                let other = promoted_and_settled(fixture, retaining()).await.id();
                let subject = promoted_and_settled(fixture, retaining()).await;
                subject.with(other)
            }
            .boxed(),
            Self::RollBackAtOnce => {
                promoted_and_settled(fixture, retaining(LONG_RETENTION)).boxed()
            }
            Self::RollBackWithKept => async {
                let target = promoted_and_settled(fixture, retaining(LONG_RETENTION)).await;
                let served = fixture.get(target.id()).await.served.last();
                let kept = fixture.routes_of(target.id(), served.expect("blue")).await;
                fixture.health(&kept[..1], RouteHealth::Unhealthy).await;
                target
            }
            .boxed(),
            Self::RollBackByActivation => promoted_and_settled(fixture, manual()).boxed(),
            Self::Resume => async {
                let subject = UnitTarget::ready(fixture).await;
                fixture.pause(subject.id(), true).await;
                subject
            }
            .boxed(),
            Self::ReportSilence | Self::NoteReports => async {
                let subject = UnitTarget::ready(fixture).await;
                let routes = fixture.routes_in(subject.id(), RouteStatus::Running).await;
                UnitTarget { routes, ..subject }
            }
            .boxed(),
            Self::ReportStarted | Self::ReportEnded | Self::ReportHealth => {
                self.set_for_reports(fixture).boxed()
            }
            Self::CycleCreates
            | Self::CycleDrains
            | Self::CycleShifts
            | Self::CycleShiftsOn
            | Self::CyclePromotes
            | Self::CycleRollsBack
            | Self::CycleEndsRetention
            | Self::CycleDestroys
            | Self::CycleWaits => self.set_for_a_cycle(fixture),
            Self::Update
            | Self::Delete
            | Self::Record
            | Self::RecordAndActivate
            | Self::Pause
            | Self::FailureBackoff => UnitTarget::ready(fixture).boxed(),
        }
    }

    async fn set_for_reports(self, fixture: &Fixture) -> UnitTarget {
        let (id, status) = if self == Self::ReportEnded {
            (promoted(fixture, manual()).await, RouteStatus::Terminating)
        } else {
            let id = UnitTarget::ready(fixture).await.id();
            fixture.deploy(id).await;
            (id, RouteStatus::Provisioning)
        };
        let routes = fixture.routes_in(id, status).await;
        if self == Self::ReportHealth {
            fixture.status(&routes, RouteStatus::Running).await;
        }
        UnitTarget {
            routes,
            ..UnitTarget::of(id)
        }
    }

    fn set_for_a_cycle(self, fixture: &Fixture) -> BoxFuture<'_, UnitTarget> {
        let db = &fixture.db;
        match self {
            Self::CycleCreates => async {
                let subject = UnitTarget::ready(fixture).await;
                let created = db
                    .create_revision(subject.id(), spec(), true, &call())
                    .await;
                created.expect("it is activated");
                subject
            }
            .boxed(),
            Self::CycleDrains => async {
                let subject = UnitTarget::ready(fixture).await;
                let updated = db.update_deployment(subject.id(), target(1), &call()).await;
                updated.expect("it is updated");
                subject
            }
            .boxed(),
            Self::CyclePromotes => async {
                let id = fixture.ready(2, automatic(Duration::ZERO)).await;
                let routes = green(fixture, id).await;
                fixture.status(&routes, RouteStatus::Running).await;
                fixture.health(&routes, RouteHealth::Healthy).await;
                UnitTarget::of(id)
            }
            .boxed(),
            Self::CycleShifts => async {
                let id = fixture.ready(2, canary()).await;
                let routes = green(fixture, id).await;
                fixture.status(&routes, RouteStatus::Running).await;
                fixture.health(&routes, RouteHealth::Healthy).await;
                UnitTarget::of(id)
            }
            .boxed(),
            Self::CycleShiftsOn => async {
                let id = at_a_step(fixture).await;
                let options = AdvanceOptions::default();
                let advanced = db.advance_deployment(id, options, &call()).await;
                advanced.expect("it is held");
                UnitTarget::of(id)
            }
            .boxed(),
            Self::CycleRollsBack => async {
                let subject = UnitTarget::ready(fixture).await;
                let routes = green(fixture, subject.id()).await;
                fixture.status(&routes, RouteStatus::FailedToStart).await;
                subject
            }
            .boxed(),
            Self::CycleEndsRetention => async {
                let id = promoted(fixture, retaining(SHORT_RETENTION)).await;
                let promoted_at = fixture.get(id).await.promoted_at.expect("promoted");
                while db.now().await.expect("the time") < promoted_at + SHORT_RETENTION {}
                UnitTarget::of(id)
            }
            .boxed(),
            Self::CycleDestroys => async {
                let subject = UnitTarget::ready(fixture).await;
                let deleted = db.delete_deployment(subject.id(), &call()).await;
                deleted.expect("it is deleted");
                let routes = fixture
                    .routes_in(subject.id(), RouteStatus::Terminating)
                    .await;
                fixture.status(&routes, RouteStatus::Terminated).await;
                subject
            }
            .boxed(),
            _ => async {
                let subject = UnitTarget::ready(fixture).await;
                let due = db.postpone(subject.id(), Duration::ZERO).await;
                due.expect("it is due");
                subject
            }
            .boxed(),
        }
    }
}

impl UnitTarget {
    fn of(deployment: DeploymentId) -> Self {
        Self {
            deployment: Some(deployment),
            ..Self::default()
        }
    }

    fn with(self, other: DeploymentId) -> Self {
        let other = Some(other);
        Self { other, ..self }
    }

    /// Both members of a set.
    pub(super) fn set(&self) -> [DeploymentId; 2] {
        [self.id(), self.other.expect("another deployment")]
    }

    /// A READY deployment.
    async fn ready(fixture: &Fixture) -> Self {
        Self::of(fixture.ready(2, manual()).await)
    }

    fn id(&self) -> DeploymentId {
        self.deployment.expect("a deployment")
    }

    /// With one more revision, not activated.
    async fn and_another(self, fixture: &Fixture) -> Self {
        let terms = call();
        let created = fixture.db.create_revision(self.id(), spec(), false, &terms);
        Self {
            revision: Some(created.await.expect("it is recorded").revision.id),
            ..self
        }
    }
}

async fn promoted_and_settled(fixture: &Fixture, policy: Policy) -> UnitTarget {
    let id = promoted(fixture, policy).await;
    fixture.settle().await;
    UnitTarget::of(id)
}

/// A deployment whose second revision was just promoted.
async fn promoted(fixture: &Fixture, policy: Policy) -> DeploymentId {
    let (id, _) = fixture.at_the_gate(2, policy).await;
    let promoted = fixture.db.complete_manual_promote(id, None, &call()).await;
    promoted.expect("it is promoted");
    id
}

/// The routes of a new revision that is being deployed.
async fn green(fixture: &Fixture, id: DeploymentId) -> Vec<RouteId> {
    let revision = fixture.deploy(id).await;
    fixture.routes_of(id, revision).await
}

/// A deployment whose canary has its first share.
async fn at_a_step(fixture: &Fixture) -> DeploymentId {
    let id = fixture.ready(2, canary()).await;
    fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let step = fixture.get(id).await.state.sub_step();
    assert_eq!(step, Some(SubStep::Shifting));
    id
}

/// Two steps with all of green, which someone has to advance.
fn canary() -> Policy {
    let step = |weight_permille| CanaryStep {
        weight_permille,
        hold: Duration::ZERO,
        manual: true,
        replicas: Some(IntOrPercent::Percent(100)),
    };
    Policy {
        strategy: Strategy::Canary(Canary {
            steps: vec![step(100), step(500)],
            switch: BlueGreen::default(),
        }),
        ..manual()
    }
}

fn retaining(scale_down_delay: Duration) -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            scale_down_delay,
            ..BlueGreen::default()
        }),
        ..manual()
    }
}

const LONG_RETENTION: Duration = Duration::from_secs(600);

/// A retention that is over soon.
const SHORT_RETENTION: Duration = Duration::from_millis(1);
