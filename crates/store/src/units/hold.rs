//! What all units of work share: take hold of a deployment, and carry out what
//! was decided.

use uuid::Uuid;
use viridian_strategy::{
    Changes, DeploymentId, Evaluation, Route as View, RouteId, State, SubStep, Timestamp,
    Transition, TransitionKind, counts, evaluate,
};

use crate::{
    Touched,
    assignments::NewAssignment,
    deployments::{Deployment, Status},
    error::StoreError,
    history::{Move, place},
    routes::{Endpoint, Route, endpoints},
    transaction::Transaction,
    types::{Action, EventKind, Outcome, Phase},
    units::Call,
};

/// A deployment that this transaction has locked, with its routes.
pub(crate) struct Held {
    pub(crate) deployment: Deployment,
    pub(crate) routes: Vec<Route>,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) now: Timestamp,
}

/// What is to be carried out.
pub(crate) struct Plan {
    pub(crate) transition: Transition,
    /// The deployment with what a call changed of it besides its state.
    pub(crate) amended: Option<Box<Deployment>>,
    /// When to look again.
    pub(crate) due_at: Option<Timestamp>,
    /// What a move is called in history.
    pub(crate) phase: Phase,
    /// Whether it is what someone asked for, and so moves the generation.
    pub(crate) asked_for: bool,
    /// Whether routes in [`Held`] were changed already.
    pub(crate) reported: bool,
}

impl Held {
    pub(crate) fn views(&self) -> Vec<View> {
        self.routes.iter().map(|route| route.view).collect()
    }
}

impl Plan {
    /// What a call asked for. A cycle follows at once.
    pub(crate) fn of_call(transition: Transition, phase: Phase, now: Timestamp) -> Self {
        Self {
            transition,
            amended: None,
            due_at: Some(now),
            phase,
            asked_for: true,
            reported: false,
        }
    }

    /// What a call asked for that is on the deployment alone.
    pub(crate) fn of_amendment(amended: Deployment, phase: Phase, now: Timestamp) -> Self {
        Self {
            amended: Some(Box::new(amended.clone())),
            ..Self::of_call(Transition::step(amended.state), phase, now)
        }
    }

    /// What a cycle came to.
    pub(crate) fn of_cycle(evaluation: Evaluation) -> Self {
        let phase = match evaluation.transition.kind {
            TransitionKind::Step => Phase::Evaluate,
            TransitionKind::Promotion => Phase::Promote,
            TransitionKind::RollBack | TransitionKind::InstantRollBack => Phase::RollBack,
        };
        Self {
            transition: evaluation.transition,
            amended: None,
            due_at: evaluation.wake_at,
            phase,
            asked_for: false,
            reported: false,
        }
    }
}

impl Transaction {
    /// Locks a deployment and loads what a decision on it needs.
    pub(crate) async fn hold(&mut self, id: DeploymentId) -> Result<Option<Held>, StoreError> {
        let Some(locked) = self.connection()?.lock_deployment(id).await? else {
            return Ok(None);
        };
        self.with_routes(locked).await.map(Some)
    }

    /// The same, if it is due and nobody else holds it.
    pub(crate) async fn hold_due(&mut self, id: DeploymentId) -> Result<Option<Held>, StoreError> {
        let now = self.now().await?;
        let Some(locked) = self.connection()?.lock_due_deployment(id, now).await? else {
            return Ok(None);
        };
        self.with_routes(locked).await.map(Some)
    }

    async fn with_routes(
        &mut self,
        locked: crate::deployments::LockedDeployment,
    ) -> Result<Held, StoreError> {
        let crate::deployments::LockedDeployment {
            deployment,
            endpoints,
            due_at,
        } = locked;
        let since = deployment.current_since;
        let routes = self.connection()?.load_routes(deployment.id, since).await?;
        let now = self.now().await?;
        Ok(Held {
            deployment,
            routes,
            endpoints,
            due_at,
            now,
        })
    }

    /// Carries a plan out: the routes, then the deployment with its numbers,
    /// then history and event. Nothing visible changes, nothing is written but
    /// the time of the next look.
    pub(crate) async fn carry_out(
        &mut self,
        held: Held,
        plan: Plan,
        call: &Call,
    ) -> Result<Deployment, StoreError> {
        let Held {
            deployment: old,
            mut routes,
            endpoints: listed,
            due_at,
            now,
        } = held;
        let changes = &plan.transition.changes;
        self.change_routes(&old, &mut routes, changes, now).await?;
        let serving = endpoints(&routes);
        let mut new = follow(&old, &plan, &routes, now);
        if serving != listed || new.served_revision() != old.served_revision() {
            new.epoch += 1;
        }
        let visible = plan.reported || !changes.is_empty() || !looks_alike(&old, &new);
        if !visible {
            let (due_at, same_due) = (plan.due_at, plan.due_at == due_at);
            if !same_due || new.state != old.state {
                let sequence = old.sequence;
                self.connection()?
                    .update_deployment(new.clone(), sequence, listed, due_at)
                    .await?;
            }
            return Ok(new);
        }
        new.sequence += 1;
        new.updated_at = now;
        let moves = moves(&old, &new, &plan);
        new.last_history += moves.len().cast_signed() as i64;
        let connection = self.connection()?;
        connection
            .update_deployment(new.clone(), old.sequence, serving, plan.due_at)
            .await?;
        self.record(&old, &new, &moves, &plan, call, now).await?;
        self.touch(Touched {
            deployment: new.id,
            epoch: (new.epoch != old.epoch).then_some(new.epoch),
            due_at: plan.due_at,
            resource_group: (!changes.rollout.is_empty() || !changes.drain.is_empty())
                .then(|| new.metadata.resource_group.clone()),
        });
        Ok(new)
    }

    /// Writes the changes of routes: green is activated before blue is drained.
    pub(crate) async fn change_routes(
        &mut self,
        deployment: &Deployment,
        routes: &mut Vec<Route>,
        changes: &Changes,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let group = deployment.metadata.resource_group.as_str();
        let connection = self.connection()?;
        if !changes.promote.is_empty() {
            connection.promote_routes(&changes.promote).await?;
        }
        if !changes.retain.is_empty() {
            connection.retain_routes(&changes.retain, now).await?;
        }
        if !changes.drain.is_empty() {
            connection.drain_routes(&changes.drain, now).await?;
            let drained = routes
                .iter()
                .filter(|route| changes.drain.contains(&route.view.id));
            let stops = drained
                .map(|route| {
                    let at = route.view.stop_at(&deployment.policy, now);
                    NewAssignment::new(Action::Stop, route.view.id, group, at)
                })
                .collect();
            connection.delete_assignments(&changes.drain).await?;
            connection.insert_assignments(stops).await?;
        }
        changes.apply_all(routes.iter_mut().map(|route| &mut route.view), now);
        for new in &changes.rollout {
            let created: Vec<Route> = (0..new.count)
                .map(|_| new_route(deployment.id, new.create(RouteId(Uuid::now_v7()), now)))
                .collect();
            let starts = created
                .iter()
                .map(|route| NewAssignment::new(Action::Start, route.view.id, group, now))
                .collect();
            connection.insert_routes(created.clone()).await?;
            connection.insert_assignments(starts).await?;
            routes.extend(created);
        }
        Ok(())
    }

    async fn record(
        &mut self,
        old: &Deployment,
        new: &Deployment,
        moves: &[(SubPlace, SubPlace)],
        plan: &Plan,
        call: &Call,
        now: Timestamp,
    ) -> Result<(), StoreError> {
        let kind = match plan.transition.kind {
            TransitionKind::Promotion => EventKind::Promoted,
            TransitionKind::RollBack | TransitionKind::InstantRollBack => EventKind::RolledBack,
            TransitionKind::Step if moves.iter().any(|(from, to)| from != to) => EventKind::Moved,
            TransitionKind::Step if plan.asked_for => EventKind::Updated,
            TransitionKind::Step => EventKind::Progressed,
        };
        let connection = self.connection()?;
        for (number, (from, to)) in (old.last_history + 1..).zip(moves) {
            let entry = Move {
                deployment: new.id,
                number,
                phase: plan.phase,
                outcome: outcome(plan, new),
                from: Some(*from),
                to: *to,
                revision: new
                    .state
                    .deploying()
                    .or(old.state.deploying())
                    .or(new.state.current()),
                actor: &call.actor,
                reason: &call.reason,
                request: call.request.as_ref().map(|request| request.id),
                status: &new.status,
                at: now,
            };
            connection.insert_move(entry).await?;
        }
        if moves.is_empty() && plan.phase == Phase::Evaluate && !plan.reported {
            connection
                .repeat_move(new.id, new.last_history, now)
                .await?;
        }
        connection.insert_event(kind, new).await
    }
}

/// A route as it is before anything was reported of it.
pub(crate) fn new_route(deployment: DeploymentId, view: View) -> Route {
    Route {
        deployment,
        view,
        session_id: String::new(),
        address: String::new(),
        failure: String::new(),
    }
}

/// A lifecycle and a sub-step.
type SubPlace = (viridian_strategy::Lifecycle, Option<SubStep>);

/// The deployment after a plan, but for its epoch and its sequence.
fn follow(old: &Deployment, plan: &Plan, routes: &[Route], now: Timestamp) -> Deployment {
    let Transition { kind, state, .. } = plan.transition;
    let amended = plan.amended.as_deref().unwrap_or(old);
    let mut view = amended.view();
    plan.transition.apply(&mut view, now);
    let mut new = Deployment {
        state,
        current_since: view.current_since,
        ..amended.clone()
    };
    if plan.asked_for || kind != TransitionKind::Step {
        new.generation += 1;
    }
    if place(&state) != place(&old.state) {
        new.phase_started_at = now;
    }
    if let TransitionKind::Promotion | TransitionKind::InstantRollBack = kind {
        new.previous = old.state.current();
        new.promoted_at = Some(now);
    }
    let views: Vec<View> = routes.iter().map(|route| route.view).collect();
    // Why it does not go on is always on the deployment, also before the cycle
    // that follows a call or a report: evaluating changes nothing by itself.
    let outlook = evaluate(&new.view(), &views, &new.policy, now);
    if outlook.transition.kind == TransitionKind::Step
        && place(&outlook.transition.state) == place(&state)
    {
        // Its clocks, as of now: the cycle finds them as they are shown.
        new.state = outlook.transition.state;
    }
    let (blue, green) = counts(&new.view(), &views);
    new.deadline_at = outlook.deadline;
    new.status = Status {
        blue,
        green,
        blockers: outlook.blockers,
    };
    new
}

/// Whether nobody outside could tell the two apart.
fn looks_alike(old: &Deployment, new: &Deployment) -> bool {
    let revisions = |state: &State| (place(state), state.current(), state.deploying());
    revisions(&old.state) == revisions(&new.state)
        && Deployment {
            state: old.state,
            ..new.clone()
        } == *old
}

/// The moves of a plan. A roll-back goes by way of ROLLING_BACK; an activation
/// is a move even where only the revision changes.
fn moves(old: &Deployment, new: &Deployment, plan: &Plan) -> Vec<(SubPlace, SubPlace)> {
    let (from, to) = (place(&old.state), place(&new.state));
    let by_way = (
        viridian_strategy::Lifecycle::Deploying,
        Some(SubStep::RollingBack),
    );
    if plan.transition.kind == TransitionKind::RollBack && from != by_way {
        vec![(from, by_way), (by_way, to)]
    } else if from != to || plan.phase != Phase::Evaluate && !plan.reported {
        vec![(from, to)]
    } else {
        Vec::new()
    }
}

fn outcome(plan: &Plan, new: &Deployment) -> Outcome {
    match plan.transition.kind {
        TransitionKind::RollBack | TransitionKind::InstantRollBack => Outcome::RolledBack,
        TransitionKind::Step if !plan.asked_for && !new.status.blockers.is_empty() => {
            Outcome::Waiting
        }
        TransitionKind::Step | TransitionKind::Promotion => Outcome::Success,
    }
}
