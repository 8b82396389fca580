//! What a configuration of the model lets happen.

use viridian_strategy::{
    BlueGreen, Canary, CanaryStep, DeploymentState, IntOrPercent, MAX_DURATION, ObservedRoute,
    Policy, RevisionId, RollingUpdate, RouteHealth, RouteStatus, Strategy,
};

use super::state::{ModelAction, ModelState};
use crate::{
    case::{Degraded, Healthy, NotChecked, Unhealthy, secs},
    properties::switch_of,
};

/// Every health.
pub(super) const ALL: &[RouteHealth] = &[NotChecked, Healthy, Unhealthy, Degraded];
/// One of each kind.
pub(super) const TWO: &[RouteHealth] = &[Healthy, Unhealthy];

/// No trouble.
pub(super) const UP: &[RouteHealth] = &[Healthy];

/// The calls that a configuration makes, besides the first activations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallKind {
    Supersede,
    Promote,
    Abort,
    RollBack,
    Pause,
    Delete,
    Restart,
    Drain,
    Advance,
}

/// What may be wrong with the evidence, besides what is reported. Only where a health
/// does not count for ever.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EvidenceTrouble {
    /// Routes may run before it is known where.
    Unaddressed,
    /// What was seen a tick ago is reported only now.
    LateReports,
    /// A checker says nothing until the health TTL ends the health.
    Silence,
    /// Routes are started anew in place.
    NewSessions,
    /// A server starts again, and what it had not written down is lost.
    ServerRestarts,
}

/// Every trouble.
pub(super) const TROUBLES: &[EvidenceTrouble] = &[
    EvidenceTrouble::Unaddressed,
    EvidenceTrouble::LateReports,
    EvidenceTrouble::Silence,
    EvidenceTrouble::NewSessions,
    EvidenceTrouble::ServerRestarts,
];

/// Every call but those that replace routes of the current revision. Together with these, their
/// states would be too many; configurations of their own have them.
pub(super) const CALLS: &[CallKind] = &[
    CallKind::Supersede,
    CallKind::Promote,
    CallKind::Abort,
    CallKind::RollBack,
    CallKind::Pause,
    CallKind::Delete,
];

/// A space of states.
#[derive(Clone, Debug)]
pub(super) struct ModelConfig {
    pub(super) name: &'static str,
    /// The first is the one that it begins with; a call may change it to any.
    pub(super) policies: Vec<Policy>,
    /// Likewise.
    pub(super) targets: Vec<u32>,
    /// How many revisions there are.
    pub(super) revisions: u128,
    /// How many routes that failed may count at one time.
    pub(super) failures: usize,
    /// Whether the scheduler stops routes that were not drained.
    pub(super) evicts: bool,
    /// What is reported of routes of the current revision, and of others.
    pub(super) health: [&'static [RouteHealth]; 2],
    /// For how many ticks a reported health counts, if not for ever.
    pub(super) ttl: Option<u8>,
    pub(super) troubles: &'static [EvidenceTrouble],
    /// How often the clock may be set back by a tick.
    pub(super) set_backs: u8,
    pub(super) verbs: &'static [CallKind],
}

/// Up to how many ticks a value matters.
#[derive(Clone, Copy, Debug)]
pub(super) struct AgeCaps {
    pub(super) gate: u8,
    pub(super) progress: u8,
    pub(super) settled: u8,
    pub(super) held: u8,
    /// How long a step of a canary is held.
    pub(super) hold: u8,
    pub(super) back_off: u8,
    pub(super) retained: u8,
    pub(super) observed: u8,
    pub(super) first: u8,
    /// By how many ticks more the clock may still be set back: any age may become less by
    /// that, and matters by as much longer.
    pub(super) slack: u8,
}

/// Blue-green without any wait, and without replacements.
pub(super) fn blue_green(change: impl FnOnce(&mut Policy, &mut BlueGreen)) -> Policy {
    let mut policy = Policy {
        progress_deadline: MAX_DURATION,
        first_deadline: Some(MAX_DURATION),
        ..Policy::default()
    };
    let mut spec = BlueGreen {
        max_replacements: Some(0),
        ..BlueGreen::default()
    };
    change(&mut policy, &mut spec);
    policy.strategy = Strategy::BlueGreen(spec);
    policy
}

/// A canary with these steps, and the switch of [`blue_green`].
pub(super) fn canary(
    steps: &[CanaryStep],
    change: impl FnOnce(&mut Policy, &mut BlueGreen),
) -> Policy {
    let mut policy = blue_green(change);
    let switch = switch_of(&policy).expect("blue-green");
    policy.strategy = Strategy::Canary(Canary {
        steps: steps.to_vec(),
        switch,
    });
    policy
}

/// A step that is held for some ticks, and then by hand or not.
pub(super) fn step(weight_permille: u16, hold: u64, manual: bool) -> CanaryStep {
    CanaryStep {
        weight_permille,
        hold: secs(hold),
        manual,
        replicas: None,
    }
}

fn longest_hold(policy: &Policy) -> std::time::Duration {
    let Strategy::Canary(spec) = &policy.strategy else {
        return std::time::Duration::ZERO;
    };
    let holds = spec.steps.iter().map(|step| step.hold);
    holds.max().unwrap_or_default()
}

pub(super) fn rolling(surge: IntOrPercent, unavailable: IntOrPercent, deadline: u64) -> Policy {
    Policy {
        strategy: Strategy::Rolling(RollingUpdate {
            max_surge: surge,
            max_unavailable: unavailable,
        }),
        progress_deadline: secs(deadline),
        first_deadline: Some(MAX_DURATION),
        ..Policy::default()
    }
}

impl ModelConfig {
    /// Whether green comes up beside blue with every policy.
    pub(super) fn is_blue_green(&self) -> bool {
        let beside = |policy: &Policy| !matches!(policy.strategy, Strategy::Rolling(_));
        self.policies.iter().all(beside)
    }

    pub(super) fn has_canary(&self) -> bool {
        let canary = |policy: &Policy| matches!(policy.strategy, Strategy::Canary(_));
        self.policies.iter().any(canary)
    }

    /// Whether old routes of several revisions may be there at once, or such as a caller wants
    /// out, so that their age decides which of them goes.
    pub(super) fn is_ordered(&self) -> bool {
        !self.is_blue_green() && self.revisions > 2 || self.has_drains()
    }

    pub(super) fn has_drains(&self) -> bool {
        self.verbs.contains(&CallKind::Drain)
    }

    /// Whether it matters of which of two routes of a revision the health is older: then one
    /// that may be drained before the other keeps its place.
    pub(super) fn keeps_places(&self) -> bool {
        self.ttl.is_some() && (!self.is_blue_green() || self.targets.len() > 1)
    }

    pub(super) fn has(&self, trouble: EvidenceTrouble) -> bool {
        self.troubles.contains(&trouble)
    }

    pub(super) fn caps(&self) -> AgeCaps {
        let most = |of: &dyn Fn(&Policy, &BlueGreen) -> std::time::Duration| {
            let values = self
                .policies
                .iter()
                .map(|policy| switch_of(policy).map_or(0, |spec| ticks(of(policy, &spec))));
            values.max().unwrap_or(0)
        };
        let hold = self
            .policies
            .iter()
            .map(|policy| ticks(longest_hold(policy)));
        let hold = hold.max().unwrap_or(0);
        let deadlines = self.policies.iter().map(|one| ticks(one.progress_deadline));
        let firsts = self.policies.iter().map(|one| ticks(one.first_deadline()));
        let doublings = self.failures.checked_sub(2);
        AgeCaps {
            gate: most(&|_, spec| spec.gate_timeout.map_or(secs(0), |gate| gate.duration)),
            progress: deadlines.max().unwrap_or(0),
            settled: most(&|policy, spec| {
                let deadline = secs(ticks(policy.progress_deadline).into());
                let hold = longest_hold(policy);
                spec.promote_delay
                    .max(spec.min_ready)
                    .max(deadline)
                    .max(hold)
            }),
            held: most(&|policy, spec| {
                let hold = longest_hold(policy);
                spec.promote_delay.max(spec.min_ready).max(hold)
            }),
            hold,
            back_off: doublings.map_or(0, |doublings| 1 << doublings),
            retained: most(&|_, spec| spec.scale_down_delay),
            observed: self.ttl.unwrap_or(0),
            first: firsts.max().unwrap_or(0),
            slack: 0,
        }
    }

    /// All that may happen next. Some of it is refused by the crate.
    pub(super) fn actions(&self, model: &ModelState) -> Vec<ModelAction> {
        let mut actions = vec![ModelAction::Evaluate, ModelAction::Tick];
        if let DeploymentState::Destroyed { .. } = model.deployment.state {
            return actions;
        }
        self.reports(model, &mut actions);
        if let DeploymentState::Destroying { .. } = model.deployment.state {
            return actions;
        }
        self.activations(model, &mut actions);
        if self.has(EvidenceTrouble::ServerRestarts) {
            actions.push(ModelAction::ServerRestarts);
        }
        // A change at the very time to which a clock was set back in a pause would look like none:
        // that takes two events in the same microsecond.
        if model.set_backs > 0 && !(model.deployment.paused && model.latest_age() == secs(1)) {
            actions.push(ModelAction::SetBack);
        }
        for &verb in self.verbs {
            match verb {
                CallKind::Promote => actions.push(ModelAction::Promote),
                CallKind::Abort => actions.push(ModelAction::Abort),
                CallKind::Pause => actions.extend([ModelAction::Pause, ModelAction::Resume]),
                CallKind::Delete => actions.push(ModelAction::Delete),
                CallKind::Restart => actions.push(ModelAction::Restart),
                CallKind::Drain => self.drains(model, &mut actions),
                CallKind::Advance => {
                    actions.extend([ModelAction::Advance(false), ModelAction::Advance(true)]);
                }
                CallKind::Supersede | CallKind::RollBack => {}
            }
        }
        let target = model.deployment.target_replicas;
        let others = self.targets.iter().filter(|other| **other != target);
        actions.extend(others.map(|other| ModelAction::Update(*other, model.policy)));
        let others = (0..self.policies.len()).filter(|other| *other != model.policy);
        actions.extend(others.map(|other| ModelAction::Update(target, other)));
        actions
    }

    /// Of routes that are alike one is as good as another.
    fn drains(&self, model: &ModelState, actions: &mut Vec<ModelAction>) {
        let ordered = self.is_ordered() || model.orders_green(self);
        for (index, route) in model.routes().enumerate() {
            let alike = index > 0 && model.members[index].is_like(&model.members[index - 1]);
            if route.status.is_active() && (ordered || !alike) {
                actions.push(ModelAction::Drain(index));
            }
        }
    }

    /// Of routes that are alike one is as good as another.
    fn reports(&self, model: &ModelState, actions: &mut Vec<ModelAction>) {
        use RouteStatus::{FailedToStart, Provisioning, Running, Terminated, Terminating};
        let counts = |route: &ObservedRoute| {
            !route.status.is_active()
                && route.drained_at.is_none()
                && route.evicted_at.is_none()
                && !model.is_forgotten(route)
        };
        let may_fail = (model.count(counts) as usize) < self.failures;
        let ordered = self.is_ordered() || self.keeps_places() || model.orders_green(self);
        for (index, route) in model.routes().enumerate() {
            if !ordered && index > 0 && model.members[index].is_like(&model.members[index - 1]) {
                continue;
            }
            let failure = match route.status {
                Provisioning => Some(FailedToStart),
                Running => Some(Terminated),
                Terminating | Terminated | FailedToStart => None,
            };
            // An eviction is no failure: any number may follow.
            let eviction = failure.filter(|_| self.evicts).map(|_| Terminating);
            let ends = failure.filter(|_| may_fail).into_iter().chain(eviction);
            actions.extend(ends.map(|end| ModelAction::Status(index, end)));
            match route.status {
                Provisioning => {
                    actions.push(ModelAction::Status(index, Running));
                    let unaddressed = self.has(EvidenceTrouble::Unaddressed);
                    actions.extend(unaddressed.then_some(ModelAction::Unaddressed(index)));
                }
                Terminating => actions.push(ModelAction::Status(index, Terminated)),
                Running if !route.has_address => {
                    actions.push(ModelAction::Status(index, Running));
                    // A checker may find it where a proxy cannot.
                    actions.push(ModelAction::Health(index, RouteHealth::Healthy));
                }
                Running => {
                    let current = model.deployment.state.current() == Some(route.revision);
                    let values = self.health[usize::from(!current)].iter();
                    let ages = model.is_ageing(route) && self.ttl.is_some();
                    let news = values.filter(|health| **health != route.health || ages);
                    actions.extend(news.map(|health| ModelAction::Health(index, *health)));
                    if self.has(EvidenceTrouble::LateReports) {
                        let late = self.health[usize::from(!current)].iter();
                        actions.extend(late.map(|health| ModelAction::Late(index, *health)));
                    }
                    if self.has(EvidenceTrouble::NewSessions) {
                        actions.push(ModelAction::NewSession(index));
                    }
                    let silent = self.has(EvidenceTrouble::Silence);
                    if silent && ages && !model.is_fresh(route, self) {
                        // What the health TTL makes of it in the end.
                        actions.push(ModelAction::Silence(index));
                    }
                }
                Terminated | FailedToStart => {}
            }
        }
    }

    /// Of the revisions that have no routes one is as good as another.
    fn activations(&self, model: &ModelState, actions: &mut Vec<ModelAction>) {
        let state = &model.deployment.state;
        let mut fresh = true;
        for number in 1..=self.revisions {
            let revision = RevisionId(uuid::Uuid::from_u128(number));
            let known = state.current() == Some(revision)
                || state.deploying() == Some(revision)
                || model.routes().any(|route| route.revision == revision);
            if !known && !std::mem::take(&mut fresh) {
                continue;
            }
            let supersedes = self.verbs.contains(&CallKind::Supersede) && model.is_deploying();
            actions.push(ModelAction::Activate(revision, supersedes));
            if self.verbs.contains(&CallKind::RollBack) {
                actions.push(ModelAction::RollBack(revision, false));
                if self.verbs.contains(&CallKind::Promote) {
                    actions.push(ModelAction::RollBack(revision, true));
                }
            }
        }
    }
}

impl AgeCaps {
    /// The same where the clock may still be set back.
    pub(super) fn with_slack(self, slack: u8) -> Self {
        // What nothing is compared with does not matter for longer, either.
        let more = |cap: u8| if cap == 0 { 0 } else { cap + slack };
        Self {
            gate: more(self.gate),
            progress: more(self.progress),
            settled: more(self.settled),
            held: more(self.held),
            hold: more(self.hold),
            back_off: more(self.back_off),
            retained: more(self.retained),
            observed: more(self.observed),
            first: more(self.first),
            slack,
        }
    }
}

/// In ticks; one that is never over counts as none, since it is never reached.
fn ticks(duration: std::time::Duration) -> u8 {
    if duration == MAX_DURATION {
        return 0;
    }
    u8::try_from(duration.as_secs()).expect("a few ticks")
}
