//! The decision: what a deployment does next, and why.
//!
//! A pure state machine. It has no runtime, clock, database or wire type: time
//! comes in as an argument, the next deadline goes out as a value, and the same
//! input gives the same output.
//!
//! - [`evaluate`] decides what happens without a call. The coordinator asks it in
//!   every cycle.
//! - [`verbs`] are the rules of the calls: what a promotion or an activation
//!   changes, or why it is refused.
//!
//! Both read one [`Observed`] and return a [`Transition`], which the holder of the
//! deployment's lock applies.

mod actions;
mod availability;
mod blocker;
mod blue_green;
mod canary;
mod canary_progress;
mod counts;
mod deployment;
mod evaluate;
mod evaluation;
mod exchange;
mod green;
mod id;
mod lost;
mod observed;
mod past;
mod pause;
mod policy;
mod quota;
mod reason;
mod replace;
mod replenish;
mod rolling;
mod rollout;
mod rollout_end;
mod route;
mod stopwatch;
mod strategy;
mod time;
mod traffic;
mod transition;
pub mod verbs;

pub use self::{
    actions::{NewRoutes, RouteActions},
    availability::{Availability, availability},
    blocker::{Blocker, BlockerCode, Blockers, UnreadyRoutes},
    canary::MAX_CANARY_STEPS,
    canary_progress::{CanaryProgress, StepPlace},
    counts::{ReplicaCounts, counts},
    deployment::{DeploymentState, Lifecycle, LifecyclePhase, SubStep},
    evaluate::evaluate,
    evaluation::Evaluation,
    id::{DeploymentId, RevisionId, RouteId},
    lost::lost_routes,
    observed::{Observed, ObservedDeployment},
    past::{MAX_SERVED, PastRollouts, ServedChange, ServedRevisions},
    policy::{
        BlueGreen, Canary, CanaryStep, GateAction, GateTimeout, IntOrPercent, MAX_DURATION,
        MAX_REPLICAS, Policy, PolicyError, RollingUpdate, Strategy,
    },
    quota::{ProjectQuota, ProjectUsage, QuotaResource, QuotaViolation},
    reason::Reason,
    rollout::{Rollout, RolloutKind, RolloutStep, SteadyPeriod},
    rollout_end::{RolloutEnd, RolloutOutcome},
    route::{ObservedRoute, RouteHealth, RouteStatus, RouteTraffic, StopWhen},
    stopwatch::Stopwatch,
    time::Timestamp,
    traffic::{FULL_WEIGHT, RevisionWeight, ServingRoute, TrafficShares, TrafficSplit},
    transition::{Transition, TransitionKind},
};
