//! The model's own clocks: what the decision's stopwatches are judged by. They
//! count ticks, and none of them counts during a pause.

use viridian_strategy::{DeploymentState, Policy, RolloutStep, Strategy};

use super::{
    config::ModelConfig,
    state::{ModelAction, ModelState, is_ready},
};

/// The clocks of one rollout; all zero when there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct TickClocks {
    /// Since it came to the gate.
    pub(super) gate: u8,
    /// Since a cycle last saw one more green ready than ever before, without
    /// the time in which the last cycle had seen all ready.
    pub(super) progress: u8,
    /// Since a cycle last saw progress, or all ready.
    pub(super) stalled: u8,
    /// Since it began or was resumed.
    pub(super) resumed: u8,
    /// The most green that a cycle saw ready.
    pub(super) best: u8,
    /// Whether the last cycle saw all green ready, or none wanted, so that no deadline runs.
    pub(super) complete: bool,
}

impl TickClocks {
    /// What `action` made of them on the way from `before` to `after`.
    pub(super) fn after(
        mut self,
        before: &ModelState,
        action: ModelAction,
        after: &ModelState,
        config: &ModelConfig,
    ) -> Self {
        let DeploymentState::Deploying(rollout) = after.deployment.state else {
            return Self::default();
        };
        match action {
            ModelAction::Activate(..) | ModelAction::RollBack(..) => return Self::default(),
            ModelAction::Resume => self.resumed = 0,
            ModelAction::Tick if !before.deployment.paused => self.tick(),
            ModelAction::Evaluate if !before.deployment.paused => {
                self.look(before, before.policy(config));
            }
            _ => {}
        }
        match rollout.step {
            RolloutStep::Provisioning => Self { gate: 0, ..self },
            RolloutStep::AwaitingPromotion { .. } => self,
            RolloutStep::RollingBack => Self::default(),
        }
    }

    /// The same, none above what anything is compared with.
    pub(super) fn capped(self, gate: u8, progress: u8, resumed: u8) -> Self {
        Self {
            gate: self.gate.min(gate),
            progress: self.progress.min(progress),
            stalled: self.stalled.min(progress),
            resumed: self.resumed.min(resumed),
            ..self
        }
    }

    /// Those in a row, to be compared.
    pub(super) fn row(self) -> [u8; 6] {
        let complete = u8::from(self.complete);
        [
            self.gate,
            self.progress,
            self.stalled,
            self.resumed,
            self.best,
            complete,
        ]
    }

    fn tick(&mut self) {
        // Only counts at the gate: anywhere else it is set to zero again.
        self.gate = self.gate.saturating_add(1);
        self.resumed = self.resumed.saturating_add(1);
        if !self.complete {
            self.progress = self.progress.saturating_add(1);
            self.stalled = self.stalled.saturating_add(1);
        }
    }

    /// A cycle looks at the routes.
    fn look(&mut self, model: &ModelState, policy: &Policy) {
        let target = model.deployment.target_replicas as usize;
        let ready = model.green().filter(|green| is_ready(&green.route)).count();
        let best = usize::from(self.best).min(target);
        if ready.min(target) > best {
            self.progress = 0;
            self.stalled = 0;
        }
        self.best = u8::try_from(best.max(ready.min(target))).expect("few routes");
        let all_ready = ready >= target && matches!(policy.strategy, Strategy::BlueGreen(_));
        self.complete = all_ready || target == 0;
        if self.complete {
            self.stalled = 0;
        }
    }
}
