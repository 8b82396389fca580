//! What a decision is made from.

use std::time::Duration;

use crate::{
    Blocker, DeploymentState, ObservedRoute, Policy, RevisionId, Rollout, RouteId, Stopwatch,
    Timestamp,
};

/// The input of every decision: a deployment, its routes and its policy, as read
/// at one time.
///
/// No time in it is later than `now`. Where one is, the clock was set back. Then the
/// first server that loads it moves all times back until the latest of them is now, and stores
/// them. So each wait goes on from the latest change, and does not last until the clock has
/// caught up.
///
/// The routes are all that have not ended, and those of the current and of the last
/// activation that failed.
#[derive(Clone, Copy, Debug)]
pub struct Observed<'a> {
    /// The deployment.
    pub deployment: &'a ObservedDeployment,
    /// Its routes.
    pub routes: &'a [ObservedRoute],
    /// How a new revision replaces the current one.
    pub policy: &'a Policy,
    /// The time of the decision.
    pub now: Timestamp,
    /// How long a reported health counts without a new report; for ever if None.
    pub health_ttl: Option<Duration>,
}

/// Routes that are HEALTHY by a report that is older than the health TTL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StaleHealth {
    /// How many there are.
    count: u32,
    /// The time of the oldest report.
    oldest: Timestamp,
    ttl: Duration,
}

/// The part of a deployment that a decision reads or changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ObservedDeployment {
    /// Its state.
    pub state: DeploymentState,
    /// How many routes should serve.
    pub target_replicas: u32,
    /// Whether moves are held.
    pub paused: bool,
    /// The number of the last activation. Activations are numbered 1, 2, … within a
    /// deployment; an instant roll-back is one too.
    pub last_activation: i64,
    /// The number of the activation that made the current revision the current one.
    /// Only failures of routes that were created in it count.
    pub current_activation: i64,
    /// The version of what was requested: moves with each call that changes the
    /// deployment, and with each promotion and roll-back.
    pub generation: i64,
    /// When a revision last took all the traffic, by promotion or instant
    /// roll-back.
    pub promoted_at: Option<Timestamp>,
    /// Runs while the first revision comes up, against the first deadline. None once it has
    /// come up, once it is recorded as failed, and without a revision.
    pub coming_up: Option<Stopwatch>,
    /// Whether the current activation is a restart: live routes of earlier ones are
    /// replaced.
    pub restarted: bool,
}

impl ObservedDeployment {
    /// The latest time that a decision on it reads, if there is one.
    pub fn latest_time(&self) -> Option<Timestamp> {
        let rollout = self.state.rollout().map(Rollout::latest_time);
        rollout.max(self.coming_up.and_then(|watch| watch.since))
    }

    /// Moves all times back that a decision on it reads.
    pub fn move_times_back(&mut self, by: Duration) {
        if let DeploymentState::Deploying(rollout) = &mut self.state {
            rollout.move_times_back(by);
        }
        self.coming_up = self.coming_up.map(|watch| watch.moved_back(by));
    }
}

impl ObservedDeployment {
    /// The same in a state that may be another one. Once it was READY there is no first
    /// revision to wait for.
    pub(crate) fn moved_to(self, state: DeploymentState) -> Self {
        Self {
            state,
            coming_up: self.coming_up.filter(|_| state.was_never_ready()),
            ..self
        }
    }

    /// The same with all of its clocks stopped.
    pub(crate) fn standing_still(self, now: Timestamp) -> Self {
        Self {
            state: self.state.standing_still(now),
            coming_up: self.coming_up.map(|watch| watch.stopped(now)),
            ..self
        }
    }

    /// The same with its clocks stopped or running again, if what was changed since `old` says
    /// so. They stand during a pause and at a target of zero: then nothing is awaited. Each verb
    /// does this itself, since any time may pass until the next evaluation.
    pub(crate) fn with_clocks_after(self, old: &Self, now: Timestamp) -> Self {
        match (old.clocks_run(), self.clocks_run()) {
            (true, false) => self.standing_still(now),
            (false, true) => Self {
                // The clock of a first revision is started again by the next evaluation.
                state: self.state.going_on(now),
                ..self
            },
            _ => self,
        }
    }

    /// Whether the clocks of a rollout run.
    pub(crate) fn clocks_run(&self) -> bool {
        !self.paused && self.target_replicas > 0
    }

    /// Whether nothing was asked of it since its creation.
    pub(crate) fn is_as_created(&self) -> bool {
        self.generation == 1
    }
}

impl<'a> Observed<'a> {
    /// Until when all routes are kept that an earlier promotion retained. None without
    /// any, and during a pause: it keeps them.
    pub fn retained_until(&self) -> Option<Timestamp> {
        let retained = self.active_routes().filter_map(|route| route.retained_at);
        let first = retained.min().filter(|_| !self.deployment.paused)?;
        Some(first + self.policy.scale_down_delay())
    }

    /// The routes that are PROVISIONING or RUNNING.
    pub(crate) fn active_routes(
        &self,
    ) -> impl Iterator<Item = &'a ObservedRoute> + Clone + use<'a> {
        self.routes.iter().filter(|route| route.status.is_active())
    }

    /// The routes of a revision that a promotion retained and that are ready to serve.
    pub(crate) fn kept_routes(
        &self,
        revision: RevisionId,
    ) -> impl Iterator<Item = RouteId> + use<'a> {
        let kept = self.routes.iter();
        kept.filter(move |route| route.is_kept(revision))
            .map(|route| route.id)
    }

    /// The routes of one revision that are no longer retained, or never were.
    pub(crate) fn routes_of(
        &self,
        revision: RevisionId,
    ) -> impl Iterator<Item = &'a ObservedRoute> + Clone + use<'a> {
        self.routes
            .iter()
            .filter(move |route| route.revision == revision && route.retained_at.is_none())
    }

    /// The live routes of one revision.
    pub(crate) fn live_routes(
        &self,
        revision: RevisionId,
    ) -> impl Iterator<Item = &'a ObservedRoute> + Clone + use<'a> {
        self.routes
            .iter()
            .filter(move |route| route.revision == revision && route.is_live())
    }

    /// Whether a route's health was reported within the health TTL.
    pub fn is_fresh(&self, route: &ObservedRoute) -> bool {
        self.health_ttl
            .is_none_or(|ttl| route.is_fresh(ttl, self.now))
    }

    /// The live, ready routes of one revision whose health is too old to decide on, but for
    /// those that are `going`. It does not count as lost: nothing goes back for it, and
    /// nothing goes on.
    #[inline]
    pub(crate) fn stale_health(
        &self,
        revision: RevisionId,
        going: &[RouteId],
    ) -> Option<StaleHealth> {
        let live = self.live_routes(revision);
        // Or what is drained in this look would hold it up until the next one.
        self.stale_among(live.filter(|route| !going.contains(&route.id)))
    }

    /// Those of these routes that are ready by a health that is too old to decide on.
    #[inline]
    pub(crate) fn stale_among<'r>(
        &self,
        routes: impl Iterator<Item = &'r ObservedRoute>,
    ) -> Option<StaleHealth> {
        let ttl = self.health_ttl?;
        let ready = routes.filter(|route| route.is_ready());
        let stale = ready.filter(|route| !route.is_fresh(ttl, self.now));
        stale.fold(None, |found: Option<StaleHealth>, route| {
            let at = route.health_observed_at.unwrap_or(route.created_at);
            Some(StaleHealth {
                count: found.map_or(0, |it| it.count) + 1,
                oldest: found.map_or(at, |it| it.oldest.min(at)),
                ttl,
            })
        })
    }
}

impl StaleHealth {
    /// How many routes there are.
    pub(crate) fn count(stale: Option<Self>) -> u32 {
        stale.map_or(0, |it| it.count)
    }

    pub(crate) fn blocker(self) -> Blocker {
        Blocker::HealthStale {
            count: self.count,
            oldest: self.oldest,
            ttl: self.ttl,
        }
    }

    /// When to evaluate again. A report that repeats a health is written down without
    /// an evaluation, so that none would follow by itself.
    pub(crate) fn look_again_at(self, now: Timestamp) -> Timestamp {
        now + self.ttl / 4
    }
}
