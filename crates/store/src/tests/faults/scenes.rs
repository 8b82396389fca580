//! The scene of each unit of work: what there is when it begins.

use std::time::Duration;

use futures::{FutureExt as _, future::BoxFuture};
use viridian_strategy::{
    BlueGreen, DeploymentId, Policy, RevisionId, RouteHealth, RouteId, RouteStatus, Strategy,
};

use super::{
    super::fixture::{Fixture, automatic, call, manual, spec},
    units::{Unit, new, target},
};

/// What a unit is about.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) deployment: Option<DeploymentId>,
    pub(super) revision: Option<RevisionId>,
    pub(super) routes: Vec<RouteId>,
}

impl Unit {
    /// Brings everything to where the unit begins.
    pub(super) fn set(self, fixture: &Fixture) -> BoxFuture<'_, Scene> {
        match self {
            Self::Create | Self::CreateIdle => async { Scene::default() }.boxed(),
            Self::Activate => {
                async { Scene::ready(fixture).await.and_another(fixture).await }.boxed()
            }
            Self::ActivateDirectly => async {
                let created = fixture.db.create_deployment(new(None), &call()).await;
                let id = created.expect("it is created").deployment.id;
                Scene::of(id).and_another(fixture).await
            }
            .boxed(),
            Self::ActivateRefused | Self::Supersede => async {
                let (id, _) = fixture.at_the_gate(2, manual()).await;
                Scene::of(id).and_another(fixture).await
            }
            .boxed(),
            Self::Promote | Self::Abort => {
                async { Scene::of(fixture.at_the_gate(2, manual()).await.0) }.boxed()
            }
            Self::PromoteAndRetain => {
                async { Scene::of(fixture.at_the_gate(2, retaining(LONG)).await.0) }.boxed()
            }
            Self::RollBackAtOnce => promoted_and_settled(fixture, retaining(LONG)).boxed(),
            Self::RollBackByActivation => promoted_and_settled(fixture, manual()).boxed(),
            Self::Resume => async {
                let scene = Scene::ready(fixture).await;
                fixture.pause(scene.id(), true).await;
                scene
            }
            .boxed(),
            Self::ReportSilence | Self::NoteReports => async {
                let scene = Scene::ready(fixture).await;
                let routes = fixture.routes_in(scene.id(), RouteStatus::Running).await;
                Scene { routes, ..scene }
            }
            .boxed(),
            Self::ReportStarted | Self::ReportEnded | Self::ReportHealth => {
                self.set_for_reports(fixture).boxed()
            }
            Self::CycleCreates
            | Self::CycleDrains
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
            | Self::FailureBackoff => Scene::ready(fixture).boxed(),
        }
    }

    async fn set_for_reports(self, fixture: &Fixture) -> Scene {
        let (id, status) = if self == Self::ReportEnded {
            (promoted(fixture, manual()).await, RouteStatus::Terminating)
        } else {
            let id = Scene::ready(fixture).await.id();
            fixture.deploy(id).await;
            (id, RouteStatus::Provisioning)
        };
        let routes = fixture.routes_in(id, status).await;
        if self == Self::ReportHealth {
            fixture.status(&routes, RouteStatus::Running).await;
        }
        Scene {
            routes,
            ..Scene::of(id)
        }
    }

    fn set_for_a_cycle(self, fixture: &Fixture) -> BoxFuture<'_, Scene> {
        let db = &fixture.db;
        match self {
            Self::CycleCreates => async {
                let scene = Scene::ready(fixture).await;
                let created = db.create_revision(scene.id(), spec(), true, &call()).await;
                created.expect("it is activated");
                scene
            }
            .boxed(),
            Self::CycleDrains => async {
                let scene = Scene::ready(fixture).await;
                let updated = db.update_deployment(scene.id(), target(1), &call()).await;
                updated.expect("it is updated");
                scene
            }
            .boxed(),
            Self::CyclePromotes => async {
                let id = fixture.ready(2, automatic(Duration::ZERO)).await;
                let routes = green(fixture, id).await;
                fixture.status(&routes, RouteStatus::Running).await;
                fixture.health(&routes, RouteHealth::Healthy).await;
                Scene::of(id)
            }
            .boxed(),
            Self::CycleRollsBack => async {
                let scene = Scene::ready(fixture).await;
                let routes = green(fixture, scene.id()).await;
                fixture.status(&routes, RouteStatus::FailedToStart).await;
                scene
            }
            .boxed(),
            Self::CycleEndsRetention => async {
                let id = promoted(fixture, retaining(SHORT)).await;
                let promoted_at = fixture.get(id).await.promoted_at.expect("promoted");
                while db.now().await.expect("the time") < promoted_at + SHORT {}
                Scene::of(id)
            }
            .boxed(),
            Self::CycleDestroys => async {
                let scene = Scene::ready(fixture).await;
                let deleted = db.delete_deployment(scene.id(), &call()).await;
                deleted.expect("it is deleted");
                let routes = fixture
                    .routes_in(scene.id(), RouteStatus::Terminating)
                    .await;
                fixture.status(&routes, RouteStatus::Terminated).await;
                scene
            }
            .boxed(),
            _ => async {
                let scene = Scene::ready(fixture).await;
                let due = db.postpone(scene.id(), Duration::ZERO).await;
                due.expect("it is due");
                scene
            }
            .boxed(),
        }
    }
}

impl Scene {
    fn of(deployment: DeploymentId) -> Self {
        Self {
            deployment: Some(deployment),
            ..Self::default()
        }
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

async fn promoted_and_settled(fixture: &Fixture, policy: Policy) -> Scene {
    let id = promoted(fixture, policy).await;
    fixture.settle().await;
    Scene::of(id)
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

fn retaining(scale_down_delay: Duration) -> Policy {
    Policy {
        strategy: Strategy::BlueGreen(BlueGreen {
            scale_down_delay,
            ..BlueGreen::default()
        }),
        ..manual()
    }
}

const LONG: Duration = Duration::from_secs(600);

/// A retention that is over soon.
const SHORT: Duration = Duration::from_millis(1);
