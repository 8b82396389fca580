//! The policy of a deployment.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use viridian_strategy::{
    BlueGreen, Canary, CanaryStep, GateAction, GateTimeout, IntOrPercent, Policy, RollingUpdate,
    Strategy,
};

use super::persisted;

persisted!(Policy => PolicyDocument);

#[derive(Serialize, Deserialize)]
pub(crate) struct PolicyDocument {
    strategy: StrategyDocument,
    // serde writes a Duration as `secs` and `nanos`, which are names on disk as well.
    progress_deadline: Duration,
    drain_grace: Duration,
    // Missing in policies of earlier programs, which means the progress deadline.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    first_deadline: Option<Duration>,
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    replace_unhealthy_after: Duration,
}

#[derive(Serialize, Deserialize)]
enum StrategyDocument {
    BlueGreen(BlueGreenDocument),
    Rolling(RollingDocument),
    Canary(CanaryDocument),
}

#[derive(Serialize, Deserialize)]
struct BlueGreenDocument {
    auto_promote: bool,
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    promote_delay: Duration,
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    min_ready: Duration,
    // Earlier programs always wrote it: a policy of theirs keeps its 0.
    #[serde(skip_serializing_if = "Option::is_none")]
    max_replacements: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    ready_threshold: Option<IntOrPercentDocument>,
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    scale_down_delay: Duration,
    #[serde(skip_serializing_if = "Option::is_none")]
    gate_timeout: Option<GateTimeoutDocument>,
}

#[derive(Serialize, Deserialize)]
struct CanaryDocument {
    steps: Vec<CanaryStepDocument>,
    switch: BlueGreenDocument,
}

#[derive(Serialize, Deserialize)]
struct CanaryStepDocument {
    weight_permille: u16,
    #[serde(default, skip_serializing_if = "Duration::is_zero")]
    hold: Duration,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    manual: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    replicas: Option<IntOrPercentDocument>,
}

#[derive(Serialize, Deserialize)]
struct GateTimeoutDocument {
    duration: Duration,
    action: GateActionDocument,
}

#[derive(Serialize, Deserialize)]
pub(super) enum GateActionDocument {
    Hold,
    Rollback,
    Promote,
}

#[derive(Serialize, Deserialize)]
struct RollingDocument {
    max_surge: IntOrPercentDocument,
    max_unavailable: IntOrPercentDocument,
}

#[derive(Serialize, Deserialize)]
enum IntOrPercentDocument {
    Count(u32),
    Percent(u32),
}

impl From<&Policy> for PolicyDocument {
    fn from(policy: &Policy) -> Self {
        let Policy {
            strategy,
            progress_deadline,
            drain_grace,
            first_deadline,
            replace_unhealthy_after,
        } = policy;
        Self {
            strategy: match strategy {
                Strategy::BlueGreen(spec) => StrategyDocument::BlueGreen(spec.into()),
                Strategy::Rolling(spec) => StrategyDocument::Rolling(RollingDocument {
                    max_surge: spec.max_surge.into(),
                    max_unavailable: spec.max_unavailable.into(),
                }),
                Strategy::Canary(spec) => StrategyDocument::Canary(spec.into()),
            },
            progress_deadline: *progress_deadline,
            drain_grace: *drain_grace,
            first_deadline: *first_deadline,
            replace_unhealthy_after: *replace_unhealthy_after,
        }
    }
}

impl From<PolicyDocument> for Policy {
    fn from(document: PolicyDocument) -> Self {
        Self {
            strategy: match document.strategy {
                StrategyDocument::BlueGreen(spec) => Strategy::BlueGreen(spec.into()),
                StrategyDocument::Rolling(spec) => Strategy::Rolling(RollingUpdate {
                    max_surge: spec.max_surge.into(),
                    max_unavailable: spec.max_unavailable.into(),
                }),
                StrategyDocument::Canary(spec) => Strategy::Canary(spec.into()),
            },
            progress_deadline: document.progress_deadline,
            drain_grace: document.drain_grace,
            first_deadline: document.first_deadline,
            replace_unhealthy_after: document.replace_unhealthy_after,
        }
    }
}

impl From<&BlueGreen> for BlueGreenDocument {
    fn from(spec: &BlueGreen) -> Self {
        let BlueGreen {
            auto_promote,
            promote_delay,
            min_ready,
            max_replacements,
            ready_threshold,
            scale_down_delay,
            gate_timeout,
        } = spec;
        Self {
            auto_promote: *auto_promote,
            promote_delay: *promote_delay,
            min_ready: *min_ready,
            max_replacements: *max_replacements,
            ready_threshold: ready_threshold.map(Into::into),
            scale_down_delay: *scale_down_delay,
            gate_timeout: gate_timeout.as_ref().map(|timeout| GateTimeoutDocument {
                duration: timeout.duration,
                action: timeout.action.into(),
            }),
        }
    }
}

impl From<BlueGreenDocument> for BlueGreen {
    fn from(document: BlueGreenDocument) -> Self {
        Self {
            auto_promote: document.auto_promote,
            promote_delay: document.promote_delay,
            min_ready: document.min_ready,
            max_replacements: document.max_replacements,
            ready_threshold: document.ready_threshold.map(Into::into),
            scale_down_delay: document.scale_down_delay,
            gate_timeout: document.gate_timeout.map(|timeout| GateTimeout {
                duration: timeout.duration,
                action: timeout.action.into(),
            }),
        }
    }
}

impl From<&Canary> for CanaryDocument {
    fn from(spec: &Canary) -> Self {
        let Canary { steps, switch } = spec;
        let steps = steps.iter().map(|step| {
            let CanaryStep {
                weight_permille,
                hold,
                manual,
                replicas,
            } = *step;
            CanaryStepDocument {
                weight_permille,
                hold,
                manual,
                replicas: replicas.map(Into::into),
            }
        });
        Self {
            steps: steps.collect(),
            switch: switch.into(),
        }
    }
}

impl From<CanaryDocument> for Canary {
    fn from(document: CanaryDocument) -> Self {
        let steps = document.steps.into_iter().map(|step| CanaryStep {
            weight_permille: step.weight_permille,
            hold: step.hold,
            manual: step.manual,
            replicas: step.replicas.map(Into::into),
        });
        Self {
            steps: steps.collect(),
            switch: document.switch.into(),
        }
    }
}

impl From<GateAction> for GateActionDocument {
    fn from(action: GateAction) -> Self {
        match action {
            GateAction::Hold => Self::Hold,
            GateAction::Rollback => Self::Rollback,
            GateAction::Promote => Self::Promote,
        }
    }
}

impl From<GateActionDocument> for GateAction {
    fn from(document: GateActionDocument) -> Self {
        match document {
            GateActionDocument::Hold => Self::Hold,
            GateActionDocument::Rollback => Self::Rollback,
            GateActionDocument::Promote => Self::Promote,
        }
    }
}

impl From<IntOrPercent> for IntOrPercentDocument {
    fn from(value: IntOrPercent) -> Self {
        match value {
            IntOrPercent::Count(count) => Self::Count(count),
            IntOrPercent::Percent(percent) => Self::Percent(percent),
        }
    }
}

impl From<IntOrPercentDocument> for IntOrPercent {
    fn from(document: IntOrPercentDocument) -> Self {
        match document {
            IntOrPercentDocument::Count(count) => Self::Count(count),
            IntOrPercentDocument::Percent(percent) => Self::Percent(percent),
        }
    }
}
