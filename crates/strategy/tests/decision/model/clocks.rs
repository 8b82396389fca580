//! The model's own clocks: what the decision's stopwatches are judged by. They
//! count ticks, and none of them counts during a pause or without replicas.

use viridian_strategy::{
    DeploymentState, Policy, Rollout, RolloutOutcome, RolloutStep, Transition,
};

use super::{
    config::{AgeCaps, ModelConfig},
    state::{ModelAction, ModelState},
};
use crate::properties::{needed_by, switch_of};

/// The clocks of one rollout, all zero when there is none; and that of a first revision.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TickClocks {
    /// Since it came to the gate.
    pub(super) gate: u8,
    /// Since a cycle last saw one more green ready than ever before, without
    /// the time in which the last cycle had seen all ready.
    pub(super) progress: u8,
    /// Since a cycle last saw progress, or all ready.
    pub(super) stalled: u8,
    /// Since it began, was resumed, or had replicas again.
    pub(super) resumed: u8,
    /// The most green that a cycle saw ready.
    pub(super) best: u8,
    /// Whether the last cycle saw all green ready, so that no deadline runs.
    pub(super) complete: bool,
    /// Since green took the share that it has, in a canary.
    pub(super) risen: u8,
    pub(super) first: FirstClock,
}

/// The clock of a first revision; zero once it came up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct FirstClock {
    /// Ticks in which it might have come up.
    pub(super) ticks: u8,
    /// Whether the last cycle waited for it.
    pub(super) runs: bool,
    /// Whether it was recorded as failed.
    pub(super) failed: bool,
}

impl FirstClock {
    /// What `action` made of it on the way from `before` to `after`.
    fn after(
        mut self,
        before: &ModelState,
        action: ModelAction,
        transition: Option<&Transition>,
        after: &ModelState,
    ) -> Self {
        let deployment = &after.deployment;
        let from_pending = deployment.state.rollout().is_some_and(|it| it.from_pending);
        let waits = |model: &ModelState| {
            let state = model.deployment.state;
            matches!(state, DeploymentState::Pending { current: Some(_) })
        };
        let pending = waits(after);
        let replaced = deployment.current_activation != before.deployment.current_activation;
        if !from_pending && !pending || replaced {
            return Self::default();
        }
        match action {
            ModelAction::Tick if self.runs => self.ticks = self.ticks.saturating_add(1),
            ModelAction::SetBack if self.runs && before.loses_a_tick() => {
                self.ticks = self.ticks.saturating_sub(1);
            }
            ModelAction::Evaluate if !deployment.paused => {
                self.runs = waits(before) && deployment.target_replicas > 0;
            }
            ModelAction::Pause | ModelAction::Update(0, _) => self.runs = false,
            _ => {}
        }
        let ended = transition.and_then(|it| it.ended).map(|end| end.outcome);
        self.failed |= ended == Some(RolloutOutcome::Failed);
        Self {
            runs: self.runs && pending,
            ..self
        }
        .capped(u8::MAX)
    }

    /// The same, not above what it is compared with. Once it failed nothing is.
    fn capped(self, limit: u8) -> Self {
        let matters = limit > 0 && !self.failed;
        Self {
            ticks: if matters { self.ticks.min(limit) } else { 0 },
            runs: self.runs && matters,
            ..self
        }
    }
}

impl TickClocks {
    /// What `action` made of them on the way from `before` to `after`.
    pub(super) fn after(
        self,
        before: &ModelState,
        action: ModelAction,
        transition: Option<&Transition>,
        after: &ModelState,
        config: &ModelConfig,
    ) -> Self {
        Self {
            first: self.first.after(before, action, transition, after),
            ..self.of_rollout(before, action, after, config)
        }
    }

    fn of_rollout(
        mut self,
        before: &ModelState,
        action: ModelAction,
        after: &ModelState,
        config: &ModelConfig,
    ) -> Self {
        let DeploymentState::Deploying(rollout) = after.deployment.state else {
            return Self::default();
        };
        let was = before.deployment.state.rollout();
        let begins_step = was.is_some_and(|was| rollout.canary.towards > was.canary.towards);
        match action {
            ModelAction::Activate(..) | ModelAction::RollBack(..) => return Self::default(),
            ModelAction::Advance(_) if begins_step => {
                self.progress = 0;
                self.stalled = 0;
                self.complete = false;
            }
            ModelAction::Resume | ModelAction::Update(..) if !clocks_run(before) => {
                self.resumed = 0;
            }
            ModelAction::Tick if clocks_run(before) => self.tick(),
            ModelAction::SetBack if clocks_run(before) && before.loses_a_tick() => {
                self.lose_a_tick();
            }
            ModelAction::Evaluate if !before.deployment.paused => {
                self.look(before, before.policy(config));
                if begins_step {
                    // A step has the whole deadline.
                    (self.progress, self.stalled) = (0, 0);
                    let mut then = before.clone();
                    then.deployment.state = after.deployment.state;
                    self.look(&then, before.policy(config));
                }
                // Another number of replicas starts the hold over, too, and so does a larger share.
                let share = |rollout: &Rollout| {
                    let canary = rollout.canary;
                    (canary.step, canary.weight, canary.scaled_for)
                };
                if was.map(share) != Some(share(&rollout)) {
                    self.risen = 0;
                }
                let waited =
                    |rollout: &Rollout| matches!(rollout.step, RolloutStep::Shifting { .. });
                if was.map(waited) != Some(waited(&rollout)) {
                    // The gate of a step is not that of the promotion.
                    self.gate = 0;
                }
            }
            _ => {}
        }
        match rollout.step {
            RolloutStep::Provisioning => Self { gate: 0, ..self },
            RolloutStep::AwaitingPromotion { .. } | RolloutStep::Shifting { gate: Some(_) } => self,
            RolloutStep::Shifting { gate: None } => Self { gate: 0, ..self },
            RolloutStep::RollingBack => Self::default(),
        }
    }

    /// The same, none above what anything is compared with.
    pub(super) fn capped(self, caps: &AgeCaps) -> Self {
        Self {
            gate: self.gate.min(caps.gate),
            progress: self.progress.min(caps.progress),
            stalled: self.stalled.min(caps.progress),
            risen: self.risen.min(caps.hold),
            resumed: self.resumed.min(caps.held),
            first: self.first.capped(caps.first),
            ..self
        }
    }

    /// Those in a row, to be compared.
    pub(super) fn row(self) -> [u8; 7] {
        let complete = u8::from(self.complete);
        [
            self.gate,
            self.progress,
            self.stalled,
            self.resumed,
            self.best,
            complete,
            self.risen,
        ]
    }

    fn tick(&mut self) {
        // Only counts at the gate: anywhere else it is set to zero again.
        self.gate = self.gate.saturating_add(1);
        self.resumed = self.resumed.saturating_add(1);
        self.risen = self.risen.saturating_add(1);
        if !self.complete {
            self.progress = self.progress.saturating_add(1);
            self.stalled = self.stalled.saturating_add(1);
        }
    }

    /// The clock that decides was set back: each wait is a tick longer, and no more.
    fn lose_a_tick(&mut self) {
        self.gate = self.gate.saturating_sub(1);
        self.resumed = self.resumed.saturating_sub(1);
        self.risen = self.risen.saturating_sub(1);
        if !self.complete {
            self.progress = self.progress.saturating_sub(1);
            self.stalled = self.stalled.saturating_sub(1);
        }
    }

    /// A cycle looks at the routes.
    fn look(&mut self, model: &ModelState, policy: &Policy) {
        let (needed, least) = needed_by(&model.deployment, policy);
        let target = needed as usize;
        let ready = model.ready_green();
        let best = usize::from(self.best).min(target);
        if ready.min(target) > best {
            self.progress = 0;
            self.stalled = 0;
        }
        self.best = u8::try_from(best.max(ready.min(target))).expect("few routes");
        let all_ready = ready >= least as usize && switch_of(policy).is_some();
        self.complete = all_ready && target > 0;
        if all_ready || target == 0 {
            self.stalled = 0;
        }
    }
}

/// Whether something is awaited.
fn clocks_run(model: &ModelState) -> bool {
    !model.deployment.paused && model.deployment.target_replicas > 0
}
