//! The decision: what a deployment does next, and why.
//!
//! A pure state machine. It has no runtime, clock, database or wire type: time
//! comes in as an argument, the next deadline goes out as a value, and the same
//! input gives the same output.
//!
//! - [`evaluate`] is what the coordinator asks at each cycle.
//! - [`verbs`] are the rules of the calls: what a promotion or an activation
//!   changes, or why it is refused.
//!
//! Both give a [`Transition`] that whoever holds the deployment's lock applies.

mod blocker;
mod blue_green;
mod cause;
mod counts;
mod deployment;
mod evaluate;
mod id;
mod keep;
mod patch;
mod policy;
mod rolling;
mod rollout;
mod route;
mod stopwatch;
mod time;
mod transition;
pub mod verbs;

pub use self::{
    blocker::{Blocker, BlockerCode, Blockers, Unready},
    cause::Cause,
    counts::{ReplicaCounts, counts, serving},
    deployment::{Deployment, Lifecycle, State, SubStep},
    evaluate::{Evaluation, evaluate},
    id::{DeploymentId, RevisionId, RouteId},
    patch::{
        BlueGreenPatch, GateTimeoutPatch, IfOther, PatchError, PolicyPatch, RollingUpdatePatch,
        StrategyPatch, StrategySettings,
    },
    policy::{
        BlueGreen, GateAction, GateTimeout, IntOrPercent, MAX_DURATION, MAX_REPLICAS, Policy,
        PolicyError, RollingUpdate, Strategy,
    },
    rollout::{Rollout, Steady, Step},
    route::{Health, Route, RouteStatus, Traffic},
    stopwatch::Stopwatch,
    time::Timestamp,
    transition::{Changes, NewRoutes, Transition, TransitionKind},
};
