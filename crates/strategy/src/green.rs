//! Green, as the strategies see it that bring it up beside blue: what is needed of it, what
//! stands between it and the next move, and the moves that are the same in all of them.

mod assessment;
mod moves;

use std::time::Duration;

pub(crate) use self::{
    assessment::GreenAssessment,
    moves::{GateTimer, NextMove, PromotionGate, go_back, roll_back},
};
use crate::RouteTraffic;

/// What is needed of green for the next move.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GreenNeeds {
    /// How many routes there are to be.
    pub(crate) routes: u32,
    /// How many of them have to be ready.
    pub(crate) least_ready: u32,
    /// How many failed ones are replaced.
    pub(crate) budget: u32,
    /// Whether new ones take traffic.
    pub(crate) traffic: RouteTraffic,
    /// How long they must have been ready before any move.
    pub(crate) min_ready: Duration,
    /// How long they must have been ready before an automatic one.
    pub(crate) delay: Duration,
}
