//! What must hold of time, by the model's own clocks: nothing is done before it
//! may be, and what may be done is done by the first cycle that looks.

use std::time::Duration;

use viridian_strategy::{
    BlueGreen, DeploymentState, Evaluation, GateAction, Policy, Reason, RolloutKind,
    RolloutOutcome, RolloutStep, Strategy, TransitionKind,
};

use super::{
    canary,
    config::ModelConfig,
    rules::{RuleResult, ensure},
    state::{ModelAction, ModelRoute, ModelState, ModelStep, is_ready},
};
use crate::{
    case::secs,
    properties::{least_ready, needed_by},
};

pub(super) fn check(before: &ModelState, step: &ModelStep, config: &ModelConfig) -> RuleResult {
    let policy = before.policy(config);
    let promotes = step
        .transition
        .as_ref()
        .is_some_and(|transition| transition.kind == TransitionKind::Promotion);
    if let Strategy::Canary(spec) = &policy.strategy {
        canary::steps_are_kept(before, step, policy, spec, config)?;
    }
    if promotes && let Strategy::BlueGreen(spec) = &policy.strategy {
        ensure(
            held_for(before, step, policy, spec.min_ready),
            "min_ready is not over",
        )?;
    }
    first_deadline(before, step, policy)?;
    if step.action == ModelAction::Promote || before.deployment.paused {
        return Ok(());
    }
    let (Some(evaluation), DeploymentState::Deploying(_)) =
        (&step.evaluation, before.deployment.state)
    else {
        return Ok(());
    };
    if before.deployment.target_replicas == 0 {
        return nothing_happens(before, evaluation);
    }
    if let Strategy::BlueGreen(spec) = &policy.strategy {
        gates_stay_closed(before, step, evaluation, policy, spec)?;
        // What nobody has confirmed holds up every step forward: `rules` says that.
        let fresh = |member: &ModelRoute| before.is_fresh(&member.route, config);
        if before.green().all(fresh) {
            gates_open(before, evaluation, policy, spec)?;
        }
    }
    deadline_waits(before, evaluation, policy)?;
    deadline_passes(before, step, evaluation, policy)
}

/// A first revision that has not come up is recorded as failed by the first cycle past its
/// deadline, and by no other.
fn first_deadline(before: &ModelState, step: &ModelStep, policy: &Policy) -> RuleResult {
    let waits = |model: &ModelState| {
        matches!(
            model.deployment.state,
            DeploymentState::Pending { current: Some(_) }
        )
    };
    let first = before.clocks.first;
    let due = step.action == ModelAction::Evaluate
        && !before.deployment.paused
        && before.deployment.target_replicas > 0
        && waits(before)
        && waits(&step.after)
        && !first.failed
        && secs(first.ticks.into()) >= policy.first_deadline();
    let ended = step.transition.as_ref().and_then(|it| it.ended);
    let failed = ended.is_some_and(|end| end.outcome == RolloutOutcome::Failed);
    ensure(
        failed == due,
        "a first revision fails at another time than at its deadline",
    )
}

/// Without replicas there is neither a gate nor a deadline, but the way back ends.
fn nothing_happens(before: &ModelState, evaluation: &Evaluation) -> RuleResult {
    let back = matches!(
        before.deployment.state,
        DeploymentState::Deploying(rollout) if rollout.step == RolloutStep::RollingBack
    );
    ensure(
        back || evaluation.transition.kind == TransitionKind::Step && evaluation.deadline.is_none(),
        "goes on without replicas",
    )
}

/// Whether as many promoted routes had been ready for that long as the policy asks for:
/// without a threshold, all.
fn held_for(before: &ModelState, step: &ModelStep, policy: &Policy, time: Duration) -> bool {
    let actions = step.transition.iter().map(|one| &one.actions);
    let promoted = actions.flat_map(|actions| &actions.promote);
    let held = promoted.filter(|id| {
        let mut members = before.members.iter();
        let member = members.find(|member| member.route.id == **id);
        member.is_some_and(|it| is_ready(&it.route) && secs(it.held.into()) >= time)
    });
    let least = least_ready(policy, before.deployment.target_replicas);
    held.count() >= least as usize
}

fn gates_stay_closed(
    before: &ModelState,
    step: &ModelStep,
    evaluation: &Evaluation,
    policy: &Policy,
    spec: &BlueGreen,
) -> RuleResult {
    match evaluation.transition.reason {
        Some(Reason::GatesOpen { .. }) => {
            ensure(spec.auto_promote, "promotes by itself, unasked")?;
            ensure(
                held_for(before, step, policy, spec.promote_delay),
                "promotes before the delay is over",
            )
        }
        Some(Reason::GateTimedOut { .. }) => {
            let gate = spec.gate_timeout.map(|gate| gate.duration);
            let over = gate.is_some_and(|gate| secs(before.clocks.gate.into()) >= gate);
            ensure(
                over && !spec.auto_promote,
                "the gate timed out before its time",
            )
        }
        Some(Reason::CameBack { .. }) => ensure(is_ungated(before), "skips the gate unasked"),
        _ => ensure(
            evaluation.transition.kind != TransitionKind::Promotion,
            "promotes for no reason",
        ),
    }
}

/// Whether it is a roll-back that nobody asked to be gated.
fn is_ungated(before: &ModelState) -> bool {
    let rollout = before.deployment.state.rollout();
    rollout.is_some_and(|rollout| rollout.kind == RolloutKind::Back { gated: false })
}

/// With at most N green, as many ready for long enough as the policy asks for, nothing but a closed gate
/// may hold it up.
fn gates_open(
    before: &ModelState,
    evaluation: &Evaluation,
    policy: &Policy,
    spec: &BlueGreen,
) -> RuleResult {
    let DeploymentState::Deploying(rollout) = before.deployment.state else {
        return Ok(());
    };
    let target = before.deployment.target_replicas;
    let ready = before.green().filter(|member| is_ready(&member.route));
    let mut held: Vec<u8> = ready.map(|member| member.held).collect();
    held.sort_unstable_by(|one, other| other.cmp(one));
    let last = least_ready(policy, target) as usize - 1;
    let complete = before.green().count() <= target as usize && held.len() > last;
    let held = held.get(last).copied().unwrap_or(0);
    let held = secs(held.min(before.clocks.resumed).into());
    if rollout.step == RolloutStep::RollingBack || !complete || held < spec.min_ready {
        return Ok(());
    }
    let kind = evaluation.transition.kind;
    if is_ungated(before) {
        return ensure(
            kind == TransitionKind::Promotion,
            "waits at a gate on a way back that has none",
        );
    }
    if spec.auto_promote {
        return ensure(
            held < spec.promote_delay || kind == TransitionKind::Promotion,
            "does not promote though every gate is open",
        );
    }
    let Some(gate) = spec.gate_timeout else {
        return ensure(kind == TransitionKind::Step, "does not hold at the gate");
    };
    let over = matches!(rollout.step, RolloutStep::AwaitingPromotion { .. })
        && secs(before.clocks.gate.into()) >= gate.duration;
    let due = match gate.action {
        GateAction::Promote if over => TransitionKind::Promotion,
        GateAction::Rollback if over => TransitionKind::RollBack,
        _ => TransitionKind::Step,
    };
    ensure(kind == due, "the gate's timeout is not followed")
}

fn deadline_waits(before: &ModelState, evaluation: &Evaluation, policy: &Policy) -> RuleResult {
    let Some(Reason::DeadlinePassed { .. }) = evaluation.transition.reason else {
        return Ok(());
    };
    ensure(
        secs(before.clocks.progress.into()) >= policy.progress_deadline,
        "the progress deadline passed before its time",
    )
}

/// Nothing became ready for too long.
fn deadline_passes(
    before: &ModelState,
    step: &ModelStep,
    evaluation: &Evaluation,
    policy: &Policy,
) -> RuleResult {
    let (needed, least) = needed_by(&before.deployment, policy);
    let ready = before.ready_green();
    let progress =
        ready.min(needed as usize) > usize::from(before.clocks.best).min(needed as usize);
    let over = secs(before.clocks.stalled.into()) >= policy.progress_deadline;
    let enough = ready >= least as usize;
    if progress || !over || enough {
        return Ok(());
    }
    let turned = match step.after.deployment.state {
        DeploymentState::Deploying(rollout) => rollout.step == RolloutStep::RollingBack,
        _ => evaluation.transition.kind == TransitionKind::RollBack,
    };
    ensure(turned, "goes on past the progress deadline")
}
