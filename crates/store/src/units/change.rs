//! Turns a decision into a value: everything that is to be written of one
//! deployment. Nothing is written here.

mod projection;

use std::collections::BTreeMap;

use viridian_strategy::{
    DeploymentState, Evaluation, Lifecycle, LifecyclePhase, ObservedRoute, ProjectUsage,
    RouteActions, RouteId, SubStep, Timestamp, TrafficSplit, Transition, TransitionKind,
};

use self::projection::project;
use crate::{
    CommitNotice,
    deployments::NewState,
    labels::LabelWrites,
    record::{
        CommitId, Deployment, EventKind, FieldChange, NewHistoryEntry, NumberedRevision, OpenEntry,
        Operation, Revision, Route, Status, TableContent,
    },
    telemetry::TransitionLog,
    units::{
        RequestContext,
        details::{failure_detail, health_detail},
        ended::DecidedEnd,
        happening::{Happening, HungRoutes, Replacement},
        lock::Locked,
        route_writes::RouteWrites,
    },
    usage::{usage_change, usage_of_deployment, usage_of_revision},
};

/// A decision, and what the record calls it.
pub(crate) struct PlannedChange {
    pub(crate) transition: Transition,
    /// The deployment with changes that the strategy does not decide: labels, the
    /// policy.
    pub(crate) amended: Option<Box<Deployment>>,
    /// The settings that change, for the history.
    pub(crate) changes: Vec<FieldChange>,
    /// The name of the operation in the history.
    pub(crate) phase: Operation,
    /// The revision that the call names. Without it the number of a revision that is new
    /// to the deployment is not known.
    pub(crate) named: Option<NumberedRevision>,
    /// Whether routes in [`Locked`] were changed by reports already.
    pub(crate) reported: ReportedChange,
    /// Those of them that failed by that.
    pub(crate) failed: Vec<RouteId>,
    /// The set of changes that it is one of.
    pub(crate) commit: Option<CommitId>,
}

/// What reports have changed of routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReportedChange {
    /// There were none.
    None,
    /// Only when a health was last observed, which no observer can see.
    Confirmation,
    /// What can be seen.
    Visible,
}

/// Everything that is to be written of one deployment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WriteSet {
    /// The deployment afterwards.
    pub(crate) deployment: Deployment,
    /// None if its row stays as it is.
    pub(crate) row: Option<RowWrite>,
    /// How what the deployment itself uses changes, without the revision.
    pub(crate) usage: ProjectUsage,
    /// How its labels change.
    pub(crate) labels: LabelWrites,
    /// A revision to be recorded with it.
    pub(crate) revision: Option<Revision>,
    pub(crate) routes: RouteWrites,
    pub(crate) moves: Vec<NewHistoryEntry>,
    /// Entries of the history that are added to, with their new numbers.
    pub(crate) repeats: Vec<OpenEntry>,
    pub(crate) event: Option<EventKind>,
    /// The set of changes that it is one of.
    pub(crate) commit: Option<CommitId>,
    /// The notification for other tasks and servers.
    pub(crate) touched: Option<CommitNotice>,
    /// The line for the log, and what the metrics count.
    pub(crate) moved: Option<TransitionLog>,
}

/// What is to be written of a deployment's row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum RowWrite {
    /// The row is new.
    Insert(NewState),
    /// The row is there.
    Update(NewState),
}

impl PlannedChange {
    /// The decision on a call.
    pub(crate) fn of_call(transition: Transition, phase: Operation) -> Self {
        Self {
            transition,
            amended: None,
            changes: Vec::new(),
            phase,
            named: None,
            reported: ReportedChange::None,
            failed: Vec::new(),
            commit: None,
        }
    }

    /// The same with a deployment that the call has changed beside its state.
    pub(crate) fn amending(self, amended: Deployment) -> Self {
        Self {
            amended: Some(Box::new(amended)),
            ..self
        }
    }

    /// The same with a description of the settings that change.
    pub(crate) fn with_changes(self, changes: Vec<FieldChange>) -> Self {
        Self { changes, ..self }
    }

    /// The same with the revision that the call names.
    pub(crate) fn naming(self, revision: Option<&Revision>) -> Self {
        let named = revision.map(|revision| NumberedRevision {
            id: revision.id,
            number: revision.number,
        });
        Self { named, ..self }
    }

    /// The same as one of a set of changes.
    pub(crate) fn in_set(self, commit: CommitId) -> Self {
        let commit = Some(commit);
        Self { commit, ..self }
    }

    /// The decision of a cycle.
    pub(crate) fn of_reconcile(evaluation: Evaluation) -> Self {
        let phase = match evaluation.transition.kind {
            TransitionKind::Step => Operation::Evaluate,
            TransitionKind::Promotion => Operation::Promote,
            TransitionKind::Shift => Operation::Shift,
            TransitionKind::RollBack | TransitionKind::InstantRollBack => Operation::RollBack,
        };
        Self::of_call(evaluation.transition, phase)
    }

    /// No decision: reports have changed routes, of which some failed by that.
    pub(crate) fn of_reports(
        deployment: &Deployment,
        reported: ReportedChange,
        failed: Vec<RouteId>,
    ) -> Self {
        Self {
            reported,
            failed,
            ..Self::of_call(
                Transition::unchanged(&deployment.observed()),
                Operation::Evaluate,
            )
        }
    }

    fn ended<'a>(&'a self, call: &'a RequestContext) -> DecidedEnd<'a> {
        DecidedEnd {
            transition: &self.transition,
            phase: self.phase,
            named: self.named,
            call,
        }
    }

    fn creates(&self) -> bool {
        self.phase == Operation::Create
    }

    /// The routes that failed by reports, oldest first.
    fn failed_routes<'a>(&self, routes: &'a [Route]) -> Vec<&'a Route> {
        let routes = routes.iter();
        let failed = routes.filter(|route| self.failed.contains(&route.view.id));
        failed.collect()
    }
}

impl Locked {
    /// Everything that a planned change writes.
    pub(crate) fn write_set(self, plan: &PlannedChange, call: &RequestContext) -> WriteSet {
        let Locked {
            deployment: old,
            mut routes,
            table: listed,
            table_commit,
            mut open_entries,
            due_at,
            now,
            had_later_times,
            health_ttl,
        } = self;
        let actions = &plan.transition.actions;
        // Both before the actions are applied: to drain a route is to overwrite its status, and
        // the new ones would count as the replacement.
        let last_rollout = plan.ended(call).last_rollout(&old, &routes, now);
        let replacement = Replacement::by(actions, &routes);
        let hung = HungRoutes::of(actions, &routes, &old.policy);
        // First: it also applies the actions to `routes`, from which all that follows is computed.
        // By the new policy, if the call changes it: its grace counts for what is drained here.
        let amended = plan.amended.as_deref().unwrap_or(&old);
        let route_writes = RouteWrites::of(amended, &mut routes, actions, now);
        let views: Vec<ObservedRoute> = routes.iter().map(|route| route.view).collect();
        let (mut new, look_at) = project(&old, plan, &views, now, health_ttl);
        new.last_rollout = last_rollout;
        new.status.health_detail = health_detail(&new, &routes);
        new.status.failure_detail = failure_detail(&new, &routes);
        let table = TableContent::of(&routes, &views, &TrafficSplit::of(&new.state));
        // What is shown is what proxies get, also while not all of a canary are ready.
        let weight = table.weight_of(new.state.deploying());
        new.status.effective_permille = weight.unwrap_or_default();
        // All three are a part of the table that proxies get, so one with the same lines is a new
        // one: a share that grows while no old route can serve, and all is green's.
        let is_same = new.served_revision() == old.served_revision()
            && new.asked_permille() == old.asked_permille()
            && new.protocol == old.protocol;
        if table != listed || !is_same {
            new.epoch += 1;
        }
        let table_commit = match new.epoch == old.epoch {
            true => table_commit,
            false => plan.commit,
        };
        // The UPDATE selects by this sequence, so that it never overwrites a row that was not read.
        let sequence = old.sequence;
        let state = |new: &Deployment, table, open_entries| NewState {
            deployment: new.clone(),
            sequence,
            table,
            table_commit,
            open_entries,
            due_at: look_at,
        };
        let visible = plan.reported == ReportedChange::Visible
            || !actions.is_empty()
            || !observably_equal(&old, &new);
        // Only clocks differ. With a new sequence, watchers would get an event that shows nothing
        // new.
        if !visible {
            let clocks = |it: &Deployment| (it.state, it.coming_up);
            let same = look_at == due_at && clocks(&new) == clocks(&old) && !had_later_times;
            let row = (!same).then(|| RowWrite::Update(state(&new, listed, open_entries)));
            return WriteSet::unseen(new, row);
        }
        new.sequence += 1;
        new.updated_at = now;
        let phases = moves(&old, &new, plan);
        let event = event(plan, &phases);
        // Moves and what happened to routes are entries of one transaction, so that the history
        // never has the one without the other.
        let failed = plan.failed_routes(&routes);
        let happening = Happening {
            old: &old,
            new: &new,
            operation: plan.phase,
            transition: &plan.transition,
            changes: &plan.changes,
            call,
            commit: plan.commit,
            failed: (plan.reported != ReportedChange::None).then(|| failed.clone()),
            effects: route_writes.effects(),
            replacement,
            hung,
        };
        let entries = happening.entries(phases, open_entries.waits());
        let (moves, repeats) = open_entries.add_all(entries, &mut new.last_history);
        let failed = failed.into_iter().map(|route| route.view.revision);
        let (usage, labels) = match plan.creates() {
            true => {
                let labels = LabelWrites::between(new.id, &BTreeMap::new(), &new.labels);
                (usage_of_deployment(&new), labels)
            }
            false => {
                let labels = LabelWrites::between(new.id, &old.labels, &new.labels);
                (usage_change(&old, &new), labels)
            }
        };
        // Of new entries only: one that repeats another is no move, and no line of the log.
        let moved = TransitionLog::by(&moves, failed, &old, &new);
        let state = state(&new, table, open_entries);
        WriteSet {
            row: Some(if plan.creates() {
                RowWrite::Insert(state)
            } else {
                RowWrite::Update(state)
            }),
            usage,
            labels,
            revision: None,
            routes: route_writes,
            repeats,
            event: Some(event),
            commit: plan.commit,
            touched: Some(notice(&old, &new, plan, look_at)),
            moved: moved.map(|it| it.ends(&old, &new, &plan.transition)),
            moves,
            deployment: new,
        }
    }
}

impl WriteSet {
    /// How what the project uses changes.
    pub(crate) fn project_usage(&self) -> ProjectUsage {
        let revision = self.revision.as_ref();
        let revision = revision.map(|it| usage_of_revision(&it.spec));
        self.usage.plus(revision.unwrap_or_default())
    }

    /// One that looks like none to every observer: at most clocks and the next look change.
    fn unseen(deployment: Deployment, row: Option<RowWrite>) -> Self {
        Self {
            deployment,
            row,
            usage: ProjectUsage::default(),
            labels: LabelWrites::default(),
            revision: None,
            routes: RouteWrites::default(),
            moves: Vec::new(),
            repeats: Vec::new(),
            event: None,
            commit: None,
            touched: None,
            moved: None,
        }
    }
}

/// The notification of a change, sent once it is committed.
fn notice(
    old: &Deployment,
    new: &Deployment,
    plan: &PlannedChange,
    look_at: Option<Timestamp>,
) -> CommitNotice {
    let RouteActions { create, drain, .. } = &plan.transition.actions;
    // A retained route goes on running, so only new and drained routes are work for a scheduler.
    let has_work = !create.is_empty() || !drain.is_empty();
    // Watchers of a new deployment have no table yet to compare the epoch with.
    let has_new_table = plan.creates() || new.epoch != old.epoch;
    CommitNotice {
        deployment: new.id,
        epoch: has_new_table.then_some(new.epoch),
        due_at: look_at,
        resource_group: has_work.then(|| new.metadata.resource_group.clone()),
    }
}

/// Whether the two look the same to an observer: only clocks differ.
fn observably_equal(old: &Deployment, new: &Deployment) -> bool {
    let revisions = |state: &DeploymentState| (state.phase(), state.current(), state.deploying());
    // Likewise: what failed before there was a detail is no news.
    let failure_detail = match old.status.failure_detail.as_str() {
        "" => &old.status.failure_detail,
        _ => &new.status.failure_detail,
    };
    revisions(&old.state) == revisions(&new.state)
        && Deployment {
            state: old.state,
            coming_up: old.coming_up,
            status: Status {
                // It moves only with something else that is seen. Records of earlier programs
                // have none, and get it without an event.
                retained_until: old.status.retained_until,
                failure_detail: failure_detail.clone(),
                ..new.status.clone()
            },
            ..new.clone()
        } == *old
}

/// The moves of a plan, from one phase to another. A roll-back goes by way of
/// ROLLING_BACK; an activation is a move even where only the revision changes.
fn moves(
    old: &Deployment,
    new: &Deployment,
    plan: &PlannedChange,
) -> Vec<(LifecyclePhase, LifecyclePhase)> {
    let (from, to) = (old.state.phase(), new.state.phase());
    let rolling_back = LifecyclePhase {
        lifecycle: Lifecycle::Deploying,
        sub_step: Some(SubStep::RollingBack),
    };
    if plan.transition.kind == TransitionKind::RollBack && from != rolling_back {
        vec![(from, rolling_back), (rolling_back, to)]
    } else if from != to
        || plan.phase != Operation::Evaluate && plan.reported == ReportedChange::None
    {
        vec![(from, to)]
    } else {
        Vec::new()
    }
}

fn event(plan: &PlannedChange, moves: &[(LifecyclePhase, LifecyclePhase)]) -> EventKind {
    match plan.transition.kind {
        TransitionKind::Promotion => EventKind::Promoted,
        TransitionKind::Shift => EventKind::Shifted,
        TransitionKind::RollBack | TransitionKind::InstantRollBack => EventKind::RolledBack,
        TransitionKind::Step if plan.creates() => EventKind::Created,
        TransitionKind::Step if moves.iter().any(|(from, to)| from != to) => EventKind::Moved,
        TransitionKind::Step if plan.transition.by_request => EventKind::Updated,
        TransitionKind::Step => EventKind::Progressed,
    }
}
