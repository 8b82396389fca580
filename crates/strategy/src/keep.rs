//! Keeping the current revision at its target, and clearing away what has no
//! place any more.

use std::time::Duration;

use crate::{
    Blocker, Changes, Deployment, Policy, RevisionId, Route, RouteId, Timestamp, Traffic,
    counts::{Tally, live_of},
};

/// Failures that are older than this do not lengthen the back-off.
const BACK_OFF_WINDOW: Duration = Duration::from_secs(60 * 60);
const BACK_OFF_FIRST: Duration = Duration::from_secs(1);
const BACK_OFF_LONGEST: Duration = Duration::from_secs(5 * 60);

/// What it takes to keep a revision at its target.
pub(crate) struct Keep {
    /// How many routes to create.
    pub(crate) create: u32,
    /// Routes above the target, in termination order.
    pub(crate) surplus: Vec<RouteId>,
    /// Why fewer are created than are missing.
    pub(crate) back_off: Option<BackOff>,
    /// The routes that stay, the new ones included.
    pub(crate) tally: Tally,
}

#[derive(Clone, Copy)]
pub(crate) struct BackOff {
    failures: u32,
    pub(crate) until: Timestamp,
}

impl Keep {
    /// Keeps `revision` at the target.
    #[inline]
    pub(crate) fn at_target(
        deployment: &Deployment,
        revision: RevisionId,
        routes: &[Route],
        now: Timestamp,
    ) -> Self {
        let target = deployment.target_replicas;
        let live = live_of(routes, revision);
        let (mut tally, surplus) = trim(live, deployment.current_since, target);
        let missing = target.saturating_sub(tally.live());
        let back_off = (missing > 0)
            .then(|| BackOff::of(routes, revision, now))
            .flatten();
        let create = if back_off.is_some() { 0 } else { missing };
        tally.provisioning += create;
        Self {
            create,
            surplus,
            back_off,
            tally,
        }
    }

    pub(crate) fn apply(self, revision: RevisionId, changes: &mut Changes) {
        changes.create(revision, self.create, Traffic::Active);
        changes.drain.extend(self.surplus);
    }

    /// Why fewer than all are ready, if they are.
    pub(crate) fn blockers(&self, target: u32) -> impl Iterator<Item = Blocker> + use<> {
        let not_ready = (self.tally.ready < target).then_some(Blocker::RoutesNotReady {
            ready: self.tally.ready,
            target,
            provisioning: self.tally.provisioning,
            unready: self.tally.unready,
        });
        not_ready
            .into_iter()
            .chain(self.back_off.map(BackOff::blocker))
    }
}

impl BackOff {
    /// The wait that failures of `revision` ask for, if it is not over.
    ///
    /// What counts is how many failed *one after the other*: a route that was
    /// created after another had failed, and then failed itself. All replicas
    /// dying at once are one failure, and are replaced at once.
    pub(crate) fn of(routes: &[Route], revision: RevisionId, now: Timestamp) -> Option<Self> {
        let failed = routes.iter().filter(|route| {
            route.revision == revision
                && route.has_failed()
                && route.status_updated_at + BACK_OFF_WINDOW > now
        });
        let mut failed: Vec<&Route> = failed.collect();
        failed.sort_unstable_by_key(|route| route.status_updated_at);
        let latest = failed.last()?.status_updated_at;
        let mut failures = 0_u32;
        let mut last = None;
        for route in failed {
            let at = route.status_updated_at;
            if last.is_none_or(|last| route.created_at >= last && at > last) {
                failures += 1;
                last = Some(at);
            }
        }
        let doublings = failures.checked_sub(2)?;
        let wait = BACK_OFF_FIRST
            .saturating_mul(1 << doublings.min(16))
            .min(BACK_OFF_LONGEST);
        Some(Self {
            failures,
            until: latest + wait,
        })
        .filter(|back_off| now < back_off.until)
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
    routes: impl Iterator<Item = &'a Route> + Clone,
    since: Timestamp,
    target: u32,
) -> (Tally, Vec<RouteId>) {
    let tally = Tally::of(routes.clone(), since);
    if tally.live() <= target {
        (tally, Vec::new())
    } else {
        trim_surplus(routes, since, target)
    }
}

fn trim_surplus<'a>(
    routes: impl Iterator<Item = &'a Route>,
    since: Timestamp,
    target: u32,
) -> (Tally, Vec<RouteId>) {
    let (mut live, others): (Vec<&Route>, Vec<&Route>) = routes.partition(|route| route.is_live());
    live.sort_unstable_by_key(|route| route.termination_key());
    let kept = live.split_off(live.len().saturating_sub(target as usize));
    let surplus = live.iter().map(|route| route.id).collect();
    (Tally::of(kept.into_iter().chain(others), since), surplus)
}

/// Drains live routes of all revisions but `placed`, and retained ones whose
/// time is over. Gives the time when the next retained one is over.
pub(crate) fn clear_away(
    placed: [RevisionId; 2],
    routes: &[Route],
    policy: &Policy,
    now: Timestamp,
    changes: &mut Changes,
) -> Option<Timestamp> {
    let mut wake_at: Option<Timestamp> = None;
    for route in routes.iter().filter(|route| route.status.is_active()) {
        if let Some(since) = route.retained_at {
            let end = since + policy.scale_down_delay();
            if end <= now {
                changes.drain.push(route.id);
            } else {
                wake_at = Some(wake_at.map_or(end, |at| at.min(end)));
            }
        } else if !placed.contains(&route.revision) {
            changes.drain.push(route.id);
        }
    }
    wake_at
}
