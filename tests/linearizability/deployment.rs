//! The rules of the calls about one deployment, as small as they can be.

use viridian_proto::v1::DeploymentLifecycle;

use super::call::{Answer, DeploymentCall, Operation, Shown};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct LiveDeployment {
    /// None until an answer shows it.
    pub(super) id: Option<String>,
    pub(super) generation: i64,
    /// The highest one that was shown: later answers show no lower one.
    pub(super) sequence: i64,
    phase: Phase,
    /// The revisions that served before the current one, oldest first.
    served: Vec<i64>,
    /// Whether the last rollout was aborted, so that what was good serves.
    was_left: bool,
    last_revision: i64,
    target: i32,
    mark: u64,
    paused: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Phase {
    Pending { current: i64 },
    Ready { current: i64 },
    Deploying(Rollout),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Rollout {
    current: i64,
    deploying: i64,
    was_never_ready: bool,
    way: Way,
}

/// Where a rollout leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Way {
    Forward,
    Back { gated: bool },
}

/// What a call that takes effect leaves.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Outcome {
    pub(super) deployment: LiveDeployment,
    pub(super) is_deleted: bool,
    is_instant: bool,
    /// Below which the sequence cannot be.
    least_sequence: i64,
}

impl Outcome {
    /// Whether an answer shows it.
    pub(super) fn is_answered_by(&self, answer: &Answer) -> bool {
        let (shown, is_instant) = match answer {
            Answer::Done(shown) => (shown, false),
            Answer::RolledBack { instant, shown } => (shown, *instant),
            Answer::Refused(_) | Answer::Unknown => return false,
        };
        is_instant == self.is_instant
            && shown.sequence >= self.least_sequence
            && self.deployment.is_shown_by(shown, self.is_deleted)
    }
}

/// A deployment as it is, and as it may be after what a server does by itself.
pub(super) fn with_own_moves(live: Option<&LiveDeployment>) -> Vec<Option<LiveDeployment>> {
    let moved = live.and_then(LiveDeployment::after_own_move);
    let mut possible = vec![live.cloned()];
    possible.extend(moved.map(Some));
    possible
}

/// What a call may leave if it takes effect now; nothing if a rule refuses it.
pub(super) fn outcomes(live: Option<&LiveDeployment>, call: &DeploymentCall) -> Vec<Outcome> {
    let Some(live) = live else {
        let Operation::Create { target, mark } = call.operation else {
            return Vec::new();
        };
        return vec![LiveDeployment::new(target, mark).with_least_sequence(1)];
    };
    if call
        .expected_generation
        .is_some_and(|it| it != live.generation)
    {
        return Vec::new();
    }
    let mut outcomes = live.after(&call.operation);
    for outcome in &mut outcomes {
        let is_changed = outcome.deployment.generation > live.generation;
        outcome.least_sequence = live.sequence + i64::from(is_changed);
    }
    outcomes
}

impl LiveDeployment {
    fn new(target: i32, mark: u64) -> Self {
        Self {
            id: None,
            generation: 1,
            sequence: 0,
            phase: Phase::Pending { current: 1 },
            served: Vec::new(),
            was_left: false,
            last_revision: 1,
            target,
            mark,
            paused: false,
        }
    }

    fn after(&self, operation: &Operation) -> Vec<Outcome> {
        let next = self.next();
        let one = |it: Self| vec![it.with_least_sequence(0)];
        match *operation {
            Operation::Create { .. } => Vec::new(),
            Operation::Get => one(self.clone()),
            Operation::Update { target, mark } => one(Self {
                target: target.unwrap_or(self.target),
                mark,
                ..next
            }),
            Operation::Deploy { supersede } => {
                let revision = self.last_revision + 1;
                let next = Self {
                    last_revision: revision,
                    ..next
                };
                self.activated(&next, revision, supersede)
            }
            Operation::Activate {
                revision,
                supersede,
            } if revision <= self.last_revision => self.activated(&next, revision, supersede),
            Operation::Activate { .. } => Vec::new(),
            Operation::Promote { expected } => match self.phase {
                Phase::Deploying(rollout) if !self.paused && is(expected, rollout.deploying) => {
                    one(self.promoted(rollout))
                }
                _ => Vec::new(),
            },
            Operation::Abort { expected } => match self.phase {
                Phase::Deploying(rollout) if is(expected, rollout.deploying) => {
                    self.aborted(rollout)
                }
                _ => Vec::new(),
            },
            Operation::RollBack { expected, gated } if self.serves_or_deploys(expected) => {
                self.rolled_back(gated)
            }
            Operation::RollBack { .. } => Vec::new(),
            Operation::Pause | Operation::Resume => {
                let paused = *operation == Operation::Pause;
                let changes = paused != self.paused;
                let next = changes.then_some(Self { paused, ..next });
                next.map(one).unwrap_or_default()
            }
            Operation::Delete => vec![Outcome {
                is_deleted: true,
                ..next.with_least_sequence(0)
            }],
        }
    }

    fn activated(&self, next: &Self, revision: i64, supersede: bool) -> Vec<Outcome> {
        let (was_never_ready, superseded) = match self.phase {
            Phase::Pending { .. } => (true, false),
            Phase::Ready { .. } => (false, false),
            Phase::Deploying(rollout) => (rollout.was_never_ready, true),
        };
        if revision == self.current() || superseded && !supersede {
            return Vec::new();
        }
        let next = Self {
            was_left: self.was_left && !superseded,
            ..next.clone()
        };
        let rollout = Self {
            phase: Phase::Deploying(Rollout {
                current: self.current(),
                deploying: revision,
                was_never_ready,
                way: Way::Forward,
            }),
            ..next.clone()
        };
        let mut outcomes = vec![rollout.with_least_sequence(0)];
        if was_never_ready {
            // Where nothing serves yet, it replaces the current one directly.
            let phase = Phase::Pending { current: revision };
            outcomes.push(Self { phase, ..next }.with_least_sequence(0));
        }
        outcomes
    }

    fn promoted(&self, rollout: Rollout) -> Self {
        let mut next = Self {
            phase: Phase::Ready {
                current: rollout.deploying,
            },
            was_left: false,
            ..self.next()
        };
        match rollout.way {
            Way::Forward => next.push(rollout.current),
            Way::Back { .. } => next.pop_to(rollout.deploying),
        }
        next
    }

    fn aborted(&self, rollout: Rollout) -> Vec<Outcome> {
        let current = rollout.current;
        let next = Self {
            was_left: rollout.way == Way::Forward,
            ..self.next()
        };
        let mut phases = vec![Phase::Ready { current }];
        if rollout.was_never_ready {
            phases.push(Phase::Pending { current });
        }
        let aborted = |phase| Self {
            phase,
            ..next.clone()
        };
        let aborted = phases.into_iter().map(aborted);
        aborted.map(|it| it.with_least_sequence(0)).collect()
    }

    /// To what served before: at once if its routes are retained, or by a rollout. During a
    /// rollout to what serves, unless it is a way back itself.
    fn rolled_back(&self, gated: bool) -> Vec<Outcome> {
        if let Phase::Deploying(rollout) = self.phase {
            let given_up = match rollout.way {
                Way::Forward => self.aborted(rollout),
                Way::Back { .. } => Vec::new(),
            };
            let at_once = |it| Outcome {
                is_instant: true,
                ..it
            };
            return given_up.into_iter().map(at_once).collect();
        }
        let (Phase::Ready { current }, Some(&target)) = (self.phase, self.served.last()) else {
            return Vec::new();
        };
        if self.was_left {
            return Vec::new();
        }
        let rollout = Self {
            phase: Phase::Deploying(Rollout {
                current,
                deploying: target,
                was_never_ready: false,
                way: Way::Back { gated },
            }),
            ..self.next()
        };
        let mut outcomes = vec![rollout.with_least_sequence(0)];
        if !gated {
            let mut instant = Self {
                phase: Phase::Ready { current: target },
                ..self.next()
            };
            instant.pop_to(target);
            outcomes.push(Outcome {
                is_instant: true,
                ..instant.with_least_sequence(0)
            });
        }
        outcomes
    }

    /// What a server may do now without a call.
    fn after_own_move(&self) -> Option<Self> {
        match self.phase {
            Phase::Pending { current } => Some(Self {
                phase: Phase::Ready { current },
                ..self.clone()
            }),
            Phase::Deploying(rollout)
                if rollout.way == Way::Back { gated: false } && !self.paused =>
            {
                Some(self.promoted(rollout))
            }
            _ => None,
        }
    }

    fn next(&self) -> Self {
        Self {
            generation: self.generation + 1,
            ..self.clone()
        }
    }

    fn push(&mut self, revision: i64) {
        if self.served.last() != Some(&revision) {
            self.served.push(revision);
        }
        if self.served.len() > MAX_SERVED {
            self.served.remove(0);
        }
    }

    fn pop_to(&mut self, revision: i64) {
        if let Some(place) = self.served.iter().rposition(|it| *it == revision) {
            self.served.truncate(place);
        }
    }

    fn current(&self) -> i64 {
        match self.phase {
            Phase::Pending { current } | Phase::Ready { current } => current,
            Phase::Deploying(rollout) => rollout.current,
        }
    }

    fn serves_or_deploys(&self, expected: Option<i64>) -> bool {
        let deploying = match self.phase {
            Phase::Deploying(rollout) => Some(rollout.deploying),
            _ => None,
        };
        is(expected, self.current()) || expected == deploying
    }

    fn is_deploying(&self) -> bool {
        matches!(self.phase, Phase::Deploying(_))
    }

    fn is_shown_by(&self, shown: &Shown, is_deleted: bool) -> bool {
        use DeploymentLifecycle::{Deploying, Destroyed, Destroying, Pending, Ready};
        let is_its_phase = if is_deleted {
            [Destroying, Destroyed].contains(&shown.lifecycle)
        } else {
            let (lifecycle, deploying) = match self.phase {
                Phase::Pending { .. } => (Pending, 0),
                Phase::Ready { .. } => (Ready, 0),
                Phase::Deploying(rollout) => (Deploying, rollout.deploying),
            };
            shown.lifecycle == lifecycle && shown.deploying == deploying
        };
        is_its_phase
            && self.id.as_ref().is_none_or(|id| *id == shown.id)
            && shown.current == self.current()
            && shown.generation == self.generation
            && shown.target == self.target
            && shown.mark == self.mark
            && shown.paused == self.paused
    }

    fn with_least_sequence(self, least_sequence: i64) -> Outcome {
        Outcome {
            deployment: self,
            is_deleted: false,
            is_instant: false,
            least_sequence,
        }
    }
}

/// Whether a rule may refuse a call now, for this reason.
pub(super) fn refuses(live: Option<&LiveDeployment>, call: &DeploymentCall, reason: &str) -> bool {
    use Operation::{Abort, Activate, Create, Deploy, Pause, Promote, Resume, RollBack};
    let expected_generation = call.expected_generation;
    let named = match call.operation {
        Activate { revision, .. } => Some(revision),
        Promote { expected } | Abort { expected } | RollBack { expected, .. } => expected,
        _ => None,
    };
    let Some(live) = live else {
        let is_create = matches!(call.operation, Create { .. });
        // A call finds the deployment by its name first, and locks it later: when it was deleted
        // meanwhile, the refusal is about what is left of it.
        return match reason {
            "DEPLOYMENT_NOT_FOUND" | "DEPLOYMENT_GONE" => !is_create,
            "GENERATION_MISMATCH" => expected_generation.is_some(),
            "REVISION_MISMATCH" => named.is_some(),
            "NOT_DEPLOYING" => matches!(call.operation, Promote { .. } | Abort { .. }),
            _ => false,
        };
    };
    let is_deploying = live.is_deploying();
    let is_roll_back = matches!(call.operation, RollBack { .. });
    match reason {
        "NAME_TAKEN" => matches!(call.operation, Create { .. }),
        "GENERATION_MISMATCH" => expected_generation.is_some_and(|it| it != live.generation),
        "REVISION_NOT_FOUND" => named.is_some_and(|it| it > live.last_revision),
        "REVISION_MISMATCH" => match (call.operation.clone(), live.phase) {
            (RollBack { .. }, _) => !live.serves_or_deploys(named),
            (Promote { .. } | Abort { .. }, Phase::Deploying(it)) => !is(named, it.deploying),
            (Promote { .. } | Abort { .. }, _) => named.is_some(),
            _ => false,
        },
        "NOT_DEPLOYING" => matches!(call.operation, Promote { .. } | Abort { .. }) && !is_deploying,
        "PROMOTION_BLOCKED" => matches!(call.operation, Promote { .. }) && is_deploying,
        "DEPLOYMENT_IN_PROGRESS" => match call.operation {
            Deploy { supersede } | Activate { supersede, .. } => is_deploying && !supersede,
            // A second one does not give up the first.
            RollBack { .. } => {
                matches!(live.phase, Phase::Deploying(it) if it.way != Way::Forward)
            }
            _ => false,
        },
        "ALREADY_CURRENT" => {
            matches!(call.operation, Activate { revision, .. } if revision == live.current())
        }
        "ALREADY_ROLLED_BACK" => is_roll_back && live.was_left && !is_deploying,
        "NO_PREVIOUS_REVISION" => is_roll_back && live.served.is_empty() && !is_deploying,
        "ALREADY_PAUSED" => call.operation == Pause && live.paused,
        "NOT_PAUSED" => call.operation == Resume && !live.paused,
        _ => false,
    }
}

/// Whether what is expected is so. Nothing may be expected.
fn is(expected: Option<i64>, actual: i64) -> bool {
    expected.is_none_or(|it| it == actual)
}

/// How many revisions a deployment remembers that served.
const MAX_SERVED: usize = 10;
