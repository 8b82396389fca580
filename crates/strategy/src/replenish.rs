//! Keeps a revision at its target count, and drains what is obsolete.

use std::time::Duration;

use crate::{
    Blocker, Observed, ObservedRoute, RevisionId, RouteActions, RouteId, RouteTraffic, Timestamp,
    counts::RouteCounts, observed::StaleHealth,
};

/// Failures older than this do not lengthen the back-off.
const BACK_OFF_WINDOW: Duration = Duration::from_secs(60 * 60);
const MIN_BACK_OFF: Duration = Duration::from_secs(1);
const MAX_BACK_OFF: Duration = Duration::from_secs(5 * 60);

/// What it takes to bring a revision to its target.
pub(crate) struct Replenish {
    /// The activation that new routes belong to.
    pub(crate) activation: i64,
    /// How many routes to create.
    pub(crate) create: u32,
    /// Routes above the target, in termination order.
    pub(crate) surplus: Vec<RouteId>,
    /// Those of them that have been UNHEALTHY for too long.
    pub(crate) hung: Vec<RouteId>,
    /// Why fewer are created than are missing.
    pub(crate) back_off: Option<BackOff>,
    /// The routes that stay, the new ones included.
    pub(crate) counts: RouteCounts,
    /// How many of them are yet to be replaced.
    pub(crate) left: u32,
    /// Ready routes whose health is too old for another one to go for them.
    pub(crate) stale: Option<StaleHealth>,
    /// When to look again: the next one will have been UNHEALTHY for too long, or a report
    /// may have confirmed the health.
    pub(crate) look_again_at: Option<Timestamp>,
}

/// The wait after failures in a row.
#[derive(Clone, Copy)]
pub(crate) struct BackOff {
    failures: u32,
    pub(crate) until: Timestamp,
}

impl Replenish {
    /// Brings `revision`, which is the current one, to the target.
    #[inline]
    pub(crate) fn to_target(observed: &Observed<'_>, revision: RevisionId) -> Self {
        if observed.replaces_any(revision) {
            return Self::replacing(observed, revision);
        }
        let target = observed.deployment.target_replicas;
        let routes = observed.routes_of(revision);
        let activation = observed.deployment.current_activation;
        let (mut counts, surplus) = trim(routes, activation, target);
        let missing = target.saturating_sub(counts.live());
        let (create, back_off) = create_after_back_off(observed, revision, activation, missing);
        // The new ones count as starting, so that the blockers name them already.
        counts.provisioning += create;
        let look_again_at = observed.next_to_hang(revision, &surplus);
        Self {
            activation,
            create,
            surplus,
            hung: Vec::new(),
            back_off,
            counts,
            left: 0,
            stale: None,
            look_again_at,
        }
    }

    pub(crate) fn apply(self, revision: RevisionId, actions: &mut RouteActions) {
        actions.create(revision, self.activation, self.create, RouteTraffic::Active);
        actions.drain.extend(self.surplus);
        actions.hung.extend(self.hung);
    }

    /// Why fewer than all are ready, if they are.
    pub(crate) fn blockers(&self, target: u32) -> impl Iterator<Item = Blocker> + use<> {
        let not_ready = (self.counts.ready < target).then_some(Blocker::RoutesNotReady {
            ready: self.counts.ready,
            target,
            provisioning: self.counts.provisioning,
            unready: self.counts.unready,
        });
        // Once all are ready again, no eviction is waited for any more.
        let evictions = not_ready.and_then(|_| self.counts.evictions());
        not_ready
            .into_iter()
            .chain(self.counts.no_address())
            .chain(evictions)
            .chain((self.left > 0).then_some(Blocker::Restarting {
                left: self.left,
                target,
            }))
            .chain(self.stale.map(StaleHealth::blocker))
            .chain(self.back_off.map(BackOff::blocker))
    }
}

/// How many of the missing routes to create now: none during a back-off.
#[inline]
pub(crate) fn create_after_back_off(
    observed: &Observed<'_>,
    revision: RevisionId,
    activation: i64,
    missing: u32,
) -> (u32, Option<BackOff>) {
    create_after_hung(observed, revision, activation, missing, &[])
}

/// The same where some routes are drained now because they hang.
#[inline]
pub(crate) fn create_after_hung(
    observed: &Observed<'_>,
    revision: RevisionId,
    activation: i64,
    missing: u32,
    hung: &[RouteId],
) -> (u32, Option<BackOff>) {
    // Nearly always nothing is missing: then no failure has to be looked at.
    let back_off = (missing > 0)
        .then(|| BackOff::of(observed, revision, activation, hung))
        .flatten();
    let create = if back_off.is_some() { 0 } else { missing };
    (create, back_off)
}

impl BackOff {
    /// The wait that failures of `revision` in one activation require, unless it is over.
    /// A new activation starts without a wait: its cause may have been mended.
    ///
    /// Only failures *in a row* count: a route that was created after another one
    /// had failed, and then failed itself. To hang until it is drained is to fail. If all replicas die at once, that is one
    /// failure, and they are replaced at once.
    fn of(
        observed: &Observed<'_>,
        revision: RevisionId,
        activation: i64,
        hung: &[RouteId],
    ) -> Option<Self> {
        let ours = observed
            .routes
            .iter()
            .filter(|route| route.revision == revision && route.activation == activation);
        let failed = ours.filter_map(|route| {
            let hangs_at = || hung.contains(&route.id).then_some(observed.now);
            Some((route.broke_at().or_else(hangs_at)?, route.created_at))
        });
        let mut failed: Vec<(Timestamp, Timestamp)> = failed
            .filter(|(at, _)| *at + BACK_OFF_WINDOW > observed.now)
            .collect();
        failed.sort_unstable();
        let (latest, _) = *failed.last()?;
        let mut failures = 0_u32;
        let mut last = None;
        for (at, created_at) in failed {
            // A route from before the last failure is part of the same failure.
            if last.is_none_or(|last| created_at >= last && at > last) {
                failures += 1;
                last = Some(at);
            }
        }
        // The first failure is replaced without a wait.
        let doublings = failures.checked_sub(2)?;
        let wait = MIN_BACK_OFF
            // Bounded, or the shift would overflow after 32
            // failures. The maximum is reached long before.
            .saturating_mul(1 << doublings.min(16))
            .min(MAX_BACK_OFF);
        Some(Self {
            failures,
            until: latest + wait,
        })
        .filter(|back_off| observed.now < back_off.until)
    }

    pub(crate) fn blocker(self) -> Blocker {
        Blocker::BackOff {
            failures: self.failures,
            until: self.until,
        }
    }
}

/// Counts the routes of one revision that stay, and lists the live ones above
/// `target`, in termination order.
#[inline]
pub(crate) fn trim<'a>(
    routes: impl Iterator<Item = &'a ObservedRoute> + Clone,
    activation: i64,
    target: u32,
) -> (RouteCounts, Vec<RouteId>) {
    let counts = RouteCounts::of(routes.clone(), activation);
    // Without a surplus nothing is sorted or allocated: that is nearly always.
    if counts.live() <= target {
        (counts, Vec::new())
    } else {
        trim_surplus(routes, activation, target)
    }
}

fn trim_surplus<'a>(
    routes: impl Iterator<Item = &'a ObservedRoute>,
    activation: i64,
    target: u32,
) -> (RouteCounts, Vec<RouteId>) {
    let (mut live, others): (Vec<&ObservedRoute>, Vec<&ObservedRoute>) =
        routes.partition(|route| route.is_live());
    live.sort_unstable_by_key(|route| route.termination_key());
    // The last ones in the termination order stay.
    let kept = live.split_off(live.len().saturating_sub(target as usize));
    let surplus = live.iter().map(|route| route.id).collect();
    let counts = RouteCounts::of(kept.into_iter().chain(others), activation);
    (counts, surplus)
}

/// Drains live routes of all revisions but `kept`, and retained ones whose time is
/// over. Returns when the next retained one is due.
pub(crate) fn drain_obsolete(
    observed: &Observed<'_>,
    kept: [RevisionId; 2],
    actions: &mut RouteActions,
) -> Option<Timestamp> {
    let mut wake_at: Option<Timestamp> = None;
    for route in observed.active_routes() {
        if let Some(since) = route.retained_at {
            // From the policy of now, so that a change of the delay counts at once.
            let end = since + observed.policy.scale_down_delay();
            if end <= observed.now {
                actions.drain.push(route.id);
            } else {
                wake_at = Some(wake_at.map_or(end, |at| at.min(end)));
            }
        } else if !kept.contains(&route.revision) {
            actions.drain.push(route.id);
        }
    }
    wake_at
}
