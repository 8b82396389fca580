//! Random calls, and the answers that are expected.

use std::fmt::Debug;

use uuid::Uuid;
use viridian_strategy::{
    BlockerCode, DeploymentId, DeploymentState, Lifecycle, RevisionId, Rollout, RolloutKind,
    RolloutStep, Strategy, SubStep, verbs,
};

use super::{generators::rng::Rng, policies::PolicyChange};
use crate::{
    AdvanceOptions, ApplyOptions, Deployment, DeploymentSpec, Request, RequestContext, RequestId,
    RollBackOptions, RouteFilter, Store, StoreError, UnitError,
    tests::{
        apply::{CREATING, TestManifest, Wanted},
        fixture::{amend, call, on_heap, spec},
    },
};

/// A call to the store.
#[derive(Clone, Debug)]
pub(super) enum StoreCall {
    /// A new revision, activated or not.
    Create(bool),
    /// An earlier revision, and whether it supersedes another.
    Activate(RevisionId, bool),
    /// One of some specs, and whether it supersedes another; and a target.
    Apply(u32, bool, u32),
    Promote,
    /// The step that it expects, and whether those before the last one are left out.
    Advance(Option<u32>, bool),
    Abort,
    /// To what served before, with gates or without.
    RollBack(bool),
    Scale(u32),
    Policy(PolicyChange),
    Pause(bool),
    Restart,
    /// One of the oldest routes.
    Drain(u32),
    /// Whether by force.
    Delete(bool),
}

/// Why a call was not done.
#[derive(Debug)]
pub(super) enum CallFailure {
    Refused(String),
    Failed(StoreError),
}

impl StoreCall {
    pub(super) fn at_random(known: &[RevisionId], paused: bool, rng: &mut Rng) -> Self {
        if paused && rng.one_in(2) {
            return Self::Pause(false);
        }
        let asks = [
            (10, 0),
            (5, 1),
            (8, 2),
            (2, 3),
            (6, 4),
            (5, 5),
            (3, 6),
            (3, 7),
            (1, 8),
            (5, 9),
            (3, 10),
            (4, 11),
            (6, 12),
        ];
        match rng.weighed(&asks) {
            1 if !known.is_empty() => Self::Activate(rng.pick(known), rng.one_in(2)),
            0 | 1 => Self::Create(!rng.one_in(6)),
            2 => Self::Promote,
            3 => Self::Abort,
            4 => Self::RollBack(rng.one_in(4)),
            5 => Self::Scale(rng.between_u32(0, 4)),
            6 => Self::Policy(PolicyChange::at_random(rng)),
            7 => Self::Pause(!rng.one_in(3)),
            9 => Self::Apply(rng.between_u32(1, 3), rng.one_in(2), rng.between_u32(0, 4)),
            10 => Self::Restart,
            11 => Self::Drain(rng.between_u32(0, 11)),
            12 => {
                let expected = rng.one_in(2).then(|| rng.between_u32(1, 2));
                Self::Advance(expected, rng.one_in(4))
            }
            _ => Self::Delete(rng.one_in(3)),
        }
    }

    /// Whether the call should be accepted. None if the deployment alone does not say.
    pub(super) fn ought(&self, before: &Deployment) -> Option<bool> {
        let state = &before.state;
        let gone = matches!(
            state.lifecycle(),
            Lifecycle::Destroying | Lifecycle::Destroyed
        );
        let deploying = state.lifecycle() == Lifecycle::Deploying;
        let rolling = matches!(before.policy.strategy, Strategy::Rolling(_));
        match self {
            Self::Create(activated) => Some(!(gone || *activated && deploying)),
            Self::Activate(revision, supersede) => {
                let current = state.current() == Some(*revision);
                Some(!gone && !current && (*supersede || !deploying))
            }
            Self::Apply(_, supersede, _) if gone || *supersede || !deploying => Some(!gone),
            // It matters what the revisions run.
            Self::Apply(..) => None,
            Self::Promote if !deploying => Some(false),
            // Without replicas a rolling update waits for it, too.
            Self::Promote if rolling && before.target_replicas > 0 => Some(false),
            Self::Promote => None,
            Self::Advance(expected, _) => Some(holds(before, *expected)),
            Self::Abort => Some(deploying && state.sub_step() != Some(SubStep::RollingBack)),
            // During a rollout it is an abort, unless it is a way back itself.
            Self::RollBack(_) if deploying => {
                let forward = |it: &Rollout| !matches!(it.kind, RolloutKind::Back { .. });
                let gives_up = state.rollout().is_some_and(forward);
                Some(gives_up && state.sub_step() != Some(SubStep::RollingBack))
            }
            // Also where the last rollout was given up, and where nothing served before.
            Self::RollBack(_) => verbs::roll_back_target(state, &before.past())
                .is_err()
                .then_some(false),
            Self::Restart => {
                Some(!gone && !deploying && !before.paused && state.current().is_some())
            }
            // It depends on the route.
            Self::Drain(_) => None,
            Self::Scale(_) | Self::Delete(false) => Some(!gone),
            Self::Delete(true) => Some(state.lifecycle() != Lifecycle::Destroyed),
            Self::Policy(_) if gone => Some(false),
            Self::Policy(_) => None,
            Self::Pause(paused) => Some(!gone && before.paused != *paused),
        }
    }

    /// Makes the call.
    pub(super) async fn ask(
        &self,
        db: &Store,
        id: DeploymentId,
        terms: &RequestContext,
    ) -> Result<Deployment, CallFailure> {
        match self {
            Self::Create(activated) => {
                let created = on_heap(|| db.create_revision(id, spec(), *activated, terms)).await;
                told(created).map(|it| it.deployment)
            }
            Self::Activate(revision, supersede) => {
                let activated =
                    on_heap(|| db.activate_revision(id, *revision, *supersede, terms)).await;
                told(activated).map(|it| it.deployment)
            }
            Self::Apply(image, supersede, target) => {
                let manifest = TestManifest::of("").running(&format!("web:{image}"));
                let options = ApplyOptions {
                    supersede: *supersede,
                    ..CREATING
                };
                let wanted = Wanted::from(manifest.scaled(*target));
                let applied = told(on_heap(|| db.deploy_spec(id, &wanted, options, terms)).await)?;
                Ok(applied.deployment)
            }
            Self::Promote => {
                let promoted = told(on_heap(|| db.complete_manual_promote(id, None, terms)).await)?;
                is_promoted_with_enough(&promoted.deployment);
                Ok(promoted.deployment)
            }
            Self::Advance(expected_step, to_last) => {
                let options = AdvanceOptions {
                    expected_step: *expected_step,
                    to_last: *to_last,
                    ..AdvanceOptions::default()
                };
                let advanced = on_heap(|| db.advance_deployment(id, options, terms)).await;
                told(advanced).map(|it| it.deployment)
            }
            Self::Abort => {
                told(on_heap(|| db.abort_deployment(id, None, terms)).await).map(|it| it.deployment)
            }
            Self::RollBack(gated) => {
                let options = RollBackOptions {
                    gated: *gated,
                    ..RollBackOptions::default()
                };
                let back = on_heap(|| db.roll_back_deployment(id, options, terms)).await;
                told(back).map(|it| it.deployment)
            }
            Self::Restart => {
                told(on_heap(|| db.restart_deployment(id, terms)).await).map(|it| it.deployment)
            }
            Self::Drain(number) => on_heap(|| drain(db, id, *number, terms)).await,
            Self::Scale(target) => {
                let target = *target;
                let update = amend(move |it| it.target_replicas = target);
                told(on_heap(|| db.update_deployment(id, update, terms)).await)
                    .map(|it| it.deployment)
            }
            Self::Policy(policy) => {
                let change = policy.clone();
                let update = move |present: &DeploymentSpec| change.apply(present);
                told(on_heap(|| db.update_deployment(id, update, terms)).await)
                    .map(|it| it.deployment)
            }
            Self::Pause(true) => {
                told(on_heap(|| db.pause_deployment(id, terms)).await).map(|it| it.deployment)
            }
            Self::Pause(false) => {
                told(on_heap(|| db.resume_deployment(id, terms)).await).map(|it| it.deployment)
            }
            Self::Delete(false) => {
                told(on_heap(|| db.delete_deployment(id, terms)).await).map(|it| it.deployment)
            }
            Self::Delete(true) => {
                told(on_heap(|| db.destroy_deployment(id, terms)).await).map(|it| it.deployment)
            }
        }
    }
}

/// Whether a canary is held at this step, and may go on.
fn holds(before: &Deployment, expected: Option<u32>) -> bool {
    let Some(rollout) = before.state.rollout() else {
        return false;
    };
    let canary = rollout.canary;
    matches!(before.policy.strategy, Strategy::Canary(_))
        && !before.paused
        && matches!(rollout.step, RolloutStep::Shifting { .. })
        && canary.towards == canary.step
        && !canary.advanced
        && expected.is_none_or(|expected| expected == canary.step)
}

/// All that are asked for have traffic, and enough of them are ready.
fn is_promoted_with_enough(promoted: &Deployment) {
    let (target, now) = (promoted.target_replicas, promoted.status.blue);
    assert_eq!(now.active_traffic, target, "promoted with too few");
    let least = match &promoted.policy.strategy {
        Strategy::BlueGreen(spec) => spec.least_ready(target),
        Strategy::Canary(spec) => spec.switch.least_ready(target),
        Strategy::Rolling(_) => target,
    };
    assert!(now.ready >= least, "promoted with {now:?} of {target}");
}

/// Drains one of the oldest routes.
async fn drain(
    db: &Store,
    id: DeploymentId,
    number: u32,
    terms: &RequestContext,
) -> Result<Deployment, CallFailure> {
    let mut reader = db.reader().await.map_err(CallFailure::Failed)?;
    // Ended ones too: a repeat has to name the same route.
    let routes = reader
        .list_routes(id, RouteFilter::default(), None, 1_000)
        .await;
    let routes = routes.map_err(CallFailure::Failed)?;
    drop(reader);
    let Some(route) = routes.get(number as usize) else {
        return Err(CallFailure::Refused("there is no such route".to_owned()));
    };
    let drained = on_heap(|| db.drain_route(id, route.view.id, terms)).await;
    told(drained).map(|it| it.deployment)
}

/// The context of a call. One in three has a request id, and can be repeated.
pub(super) fn terms(rng: &mut Rng) -> RequestContext {
    let id = u128::from(rng.between(0, u64::MAX)) << 64 | u128::from(rng.between(0, u64::MAX));
    RequestContext {
        request: rng.one_in(3).then(|| Request {
            id: RequestId(Uuid::from_u128(id)),
            method: "Call",
            fingerprint: b"the same".to_vec(),
        }),
        ..call()
    }
}

fn told<T, R: Debug>(result: Result<T, UnitError<R>>) -> Result<T, CallFailure> {
    result.map_err(|error| match error {
        UnitError::Store(error) => CallFailure::Failed(error),
        refusal => CallFailure::Refused(format!("{refusal:?}")),
    })
}

/// Whether it waits for a manual promotion.
pub(super) fn is_at_gate(deployment: &Deployment) -> bool {
    let gate = |blocker: &viridian_strategy::Blocker| blocker.code() == BlockerCode::ManualGate;
    let at_gate = deployment.state.sub_step() == Some(SubStep::AwaitingPromotion);
    at_gate && deployment.status.blockers.iter().any(gate)
}

/// Whether a canary waits for someone to advance.
pub(super) fn is_at_manual_step(deployment: &Deployment) -> bool {
    let mut blockers = deployment.status.blockers.iter();
    blockers.any(|it| it.code() == BlockerCode::ManualStep)
}

/// Whether it has come to rest without help.
pub(super) fn is_settled(deployment: &Deployment) -> bool {
    match deployment.state {
        DeploymentState::Pending { current } => {
            current.is_none() || deployment.target_replicas == 0
        }
        // As many may be ready while one of them has yet to be replaced.
        DeploymentState::Ready { .. } => {
            let mut blockers = deployment.status.blockers.iter();
            let restarts = blockers.any(|it| it.code() == BlockerCode::Restarting);
            deployment.status.blue.ready == deployment.target_replicas && !restarts
        }
        DeploymentState::Destroyed { .. } => true,
        DeploymentState::Deploying(_) | DeploymentState::Destroying { .. } => false,
    }
}
