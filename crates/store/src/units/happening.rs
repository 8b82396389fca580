//! What a change adds to the history: its moves, what a look did without one, and what
//! happened to routes.

use std::collections::BTreeMap;

use viridian_strategy::{
    Blocker, LifecyclePhase, ObservedRoute, Policy, RevisionId, RouteActions, RouteStatus,
    Transition, TransitionKind, lost_routes,
};

use crate::{
    record::{
        CommitId, Deployment, FieldChange, HistoryOutcome, NewHistoryEntry, Operation, Route,
        RouteEffects,
    },
    units::RequestContext,
};

/// A change that an observer can see.
pub(super) struct Happening<'a> {
    pub(super) old: &'a Deployment,
    pub(super) new: &'a Deployment,
    pub(super) operation: Operation,
    pub(super) transition: &'a Transition,
    /// The settings that a call changes.
    pub(super) changes: &'a [FieldChange],
    pub(super) call: &'a RequestContext,
    pub(super) commit: Option<CommitId>,
    /// The routes that failed, if it is no decision but reports.
    pub(super) failed: Option<Vec<&'a Route>>,
    pub(super) effects: RouteEffects,
    pub(super) replacement: Option<Replacement>,
    pub(super) hung: Option<HungRoutes>,
}

/// Routes that are replaced because they failed or were taken away.
pub(super) struct Replacement {
    revision: RevisionId,
    count: u32,
    failure: String,
}

impl Replacement {
    /// What the new routes replace; None if they are additional ones.
    pub(super) fn by(actions: &RouteActions, routes: &[Route]) -> Option<Self> {
        // Nearly every change creates none.
        let revision = actions.create.first()?.revision;
        let views: Vec<ObservedRoute> = routes.iter().map(|route| route.view).collect();
        let mut count = 0;
        let mut replaced = Vec::new();
        for new in &actions.create {
            let lost: Vec<_> = lost_routes(&views, new.revision).map(|it| it.id).collect();
            count += new.count.min(u32::try_from(lost.len()).unwrap_or(u32::MAX));
            replaced.extend(lost);
        }
        let replaced = routes.iter().filter(|it| replaced.contains(&it.view.id));
        (count > 0).then(|| Self {
            revision,
            count,
            failure: first_failure(replaced),
        })
    }
}

/// Routes that others have replaced because they hung.
pub(super) struct HungRoutes {
    revision: RevisionId,
    count: u32,
    reason: String,
    failure: String,
}

impl HungRoutes {
    /// Those that are drained because they hang.
    pub(super) fn of(actions: &RouteActions, routes: &[Route], policy: &Policy) -> Option<Self> {
        let hung = routes.iter();
        let hung = hung.filter(|route| actions.hung.contains(&route.view.id));
        let revision = hung.clone().next()?.view.revision;
        let after = policy.replace_unhealthy_after;
        let details = hung.map(|route| route.health_detail.as_str());
        Some(Self {
            revision,
            count: u32::try_from(actions.hung.len()).unwrap_or(u32::MAX),
            reason: format!("UNHEALTHY for longer than {} s", after.as_secs_f64()),
            failure: first_text(details),
        })
    }
}

impl Happening<'_> {
    /// The entries of the history, not numbered yet. `waits` says whether a wait is open.
    pub(super) fn entries(
        &self,
        moves: Vec<(LifecyclePhase, LifecyclePhase)>,
        waits: bool,
    ) -> Vec<NewHistoryEntry> {
        if let Some(failed) = &self.failed {
            return self.failures(failed);
        }
        let last = moves.len().saturating_sub(1);
        let mut entries: Vec<_> = moves.into_iter().map(|it| self.entry(it)).collect();
        // Of two moves in one change the second one is where the routes go.
        if let Some(entry) = entries.get_mut(last) {
            entry.effects = self.effects;
            // And the first one is where the call begins.
            entries[0].changes = self.changes.to_vec();
        } else {
            entries.extend(self.look(waits));
        }
        entries
    }

    /// A look that made no move: recorded if it did something with routes, if it goes on with
    /// a wait, or if a first revision failed by it. Two entries if it replaced routes for two
    /// reasons.
    fn look(&self, waits: bool) -> Vec<NewHistoryEntry> {
        let stays = self.new.state.phase();
        let entry = NewHistoryEntry {
            effects: self.effects,
            ..self.entry((stays, stays))
        };
        if self.transition.ended.is_some() {
            let last = self.new.last_rollout.as_ref();
            return vec![NewHistoryEntry {
                outcome: HistoryOutcome::Failed,
                failure: last.map_or_else(String::new, |last| last.failure.clone()),
                ..entry
            }];
        }
        let acts = self.effects != RouteEffects::default();
        let goes_on = waits && entry.outcome == HistoryOutcome::Waiting;
        if !acts && !goes_on {
            return Vec::new();
        }
        let mut left = entry.effects;
        let hung = self.hung.as_ref().map(|hung| {
            // What is lost is replaced by the new ones; what hung was by earlier ones.
            let created = self.replacement.as_ref().map_or(left.created, |_| 0);
            let effects = RouteEffects { created, ..left };
            left = RouteEffects {
                created: left.created - created,
                ..RouteEffects::default()
            };
            NewHistoryEntry {
                phase: Operation::RouteReplaced,
                revision: Some(hung.revision),
                count: hung.count,
                reason: hung.reason.clone(),
                failure: hung.failure.clone(),
                effects,
                hung: true,
                ..entry.clone()
            }
        });
        let lost = self.replacement.as_ref().map(|lost| NewHistoryEntry {
            phase: Operation::RouteReplaced,
            revision: Some(lost.revision),
            count: lost.count,
            failure: lost.failure.clone(),
            effects: left,
            ..entry.clone()
        });
        if hung.is_none() && lost.is_none() {
            return vec![entry];
        }
        lost.into_iter().chain(hung).collect()
    }

    /// An entry for the failed routes of each revision.
    fn failures(&self, failed: &[&Route]) -> Vec<NewHistoryEntry> {
        let mut by_revision: BTreeMap<RevisionId, Vec<&Route>> = BTreeMap::new();
        for route in failed {
            let routes = by_revision.entry(route.view.revision).or_default();
            routes.push(route);
        }
        // One batch of reports may end routes of two revisions: an entry for each, in the order of
        // ids, so that the numbers do not depend on the order of the reports.
        let stays = self.new.state.phase();
        let entry = |(revision, routes): (RevisionId, Vec<&Route>)| NewHistoryEntry {
            phase: Operation::RouteFailed,
            outcome: HistoryOutcome::Failed,
            revision: Some(revision),
            count: u32::try_from(routes.len()).unwrap_or(u32::MAX),
            reason: how_it_ended(routes[0].view.status).to_owned(),
            failure: first_failure(routes.iter().copied()),
            actor: super::COORDINATOR.to_owned(),
            ..self.entry((stays, stays))
        };
        by_revision.into_iter().map(entry).collect()
    }

    fn entry(&self, (from, to): (LifecyclePhase, LifecyclePhase)) -> NewHistoryEntry {
        let Self { old, new, call, .. } = self;
        // A promotion and a roll-back end the rollout: then only the old state names its revision.
        let deploying = new.state.deploying().or(old.state.deploying());
        NewHistoryEntry {
            deployment: new.id,
            // Given when it is known whether the entry is a new one or repeats another.
            number: 0,
            phase: self.operation,
            outcome: self.outcome(),
            from: (self.operation != Operation::Create).then_some(from),
            to,
            revision: deploying.or(new.state.current()),
            actor: call.actor.clone(),
            reason: self.reason(),
            request: call.request.as_ref().map(|request| request.id),
            commit: self.commit,
            status: new.status.clone(),
            changes: Vec::new(),
            effects: RouteEffects::default(),
            count: 0,
            failure: String::new(),
            weight_permille: self.weight(),
            at: new.updated_at,
            hung: false,
        }
    }

    /// The share that a canary has taken by it.
    fn weight(&self) -> Option<u16> {
        let rollout = self.new.state.rollout();
        // Other entries happen at the same share, which the SHIFT before them has.
        let shifts = self.transition.kind == TransitionKind::Shift;
        rollout.filter(|_| shifts)?.canary.weight
    }

    fn outcome(&self) -> HistoryOutcome {
        match self.transition.kind {
            TransitionKind::RollBack | TransitionKind::InstantRollBack => {
                HistoryOutcome::RolledBack
            }
            // A call has done what was asked of it, even if the rollout waits from here on.
            TransitionKind::Step
                if !self.transition.by_request && !self.new.status.blockers.is_empty() =>
            {
                HistoryOutcome::Waiting
            }
            TransitionKind::Step | TransitionKind::Shift | TransitionKind::Promotion => {
                HistoryOutcome::Success
            }
        }
    }

    /// The words of the call, or of the decision.
    fn reason(&self) -> String {
        let reason = &self.call.reason;
        // A deletion is one entry from here to its end, which may be long in coming.
        if reason.is_empty() && self.operation == Operation::Delete {
            let blockers = self.new.status.blockers.iter().map(Blocker::to_string);
            return blockers.collect::<Vec<_>>().join("; ");
        }
        reason.clone()
    }
}

/// The failure of the first route that has one.
fn first_failure<'a>(routes: impl Iterator<Item = &'a Route>) -> String {
    first_text(routes.map(|route| route.failure.as_str()))
}

fn first_text<'a>(mut texts: impl Iterator<Item = &'a str>) -> String {
    let first = texts.find(|text| !text.is_empty());
    first.unwrap_or_default().to_owned()
}

/// Without a number: the entry may be of one route now, and of more later.
fn how_it_ended(status: RouteStatus) -> &'static str {
    match status {
        RouteStatus::FailedToStart => "could not be started",
        _ => "ended without having been drained",
    }
}
