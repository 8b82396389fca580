//! What a plan comes to, as a value: everything that is to be written of one
//! deployment. Nothing is written here.

use uuid::Uuid;
use viridian_strategy::{
    Changes, DeploymentId, Evaluation, Lifecycle, Route as View, RouteId, State, SubStep,
    Timestamp, Transition, TransitionKind, counts, evaluate,
};

use crate::{
    CommitNotice,
    assignments::NewAssignment,
    deployments::{Deployment, NewState, Status},
    history::{Move, place},
    routes::{Route, endpoints},
    telemetry::Moved,
    types::{Action, EventKind, Outcome, Phase},
    units::{RequestContext, lock::Locked},
};

/// What is to be carried out.
pub(crate) struct Plan {
    pub(crate) transition: Transition,
    /// The deployment with what a call changed of it besides its state.
    pub(crate) amended: Option<Box<Deployment>>,
    /// What a move is called in history.
    pub(crate) phase: Phase,
    /// Whether it is what someone asked for, and so moves the generation.
    pub(crate) asked_for: bool,
    /// Whether routes in [`Locked`] were changed already.
    pub(crate) reported: bool,
}

/// All that is to be written of one deployment.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Change {
    /// The deployment after it.
    pub(crate) deployment: Deployment,
    pub(crate) routes: RouteChanges,
    /// None if its row stays as it is.
    pub(crate) state: Option<NewState>,
    pub(crate) moves: Vec<Move>,
    /// The number of the last move, which came to the same once more.
    pub(crate) repeats: Option<i64>,
    pub(crate) event: Option<EventKind>,
    /// What others are told.
    pub(crate) touched: Option<CommitNotice>,
    /// What the log is told.
    pub(crate) moved: Option<Moved>,
}

/// What is to be written of a deployment's routes and what they are assigned.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct RouteChanges {
    pub(crate) reported: Vec<Route>,
    pub(crate) promoted: Vec<RouteId>,
    pub(crate) retained: Vec<RouteId>,
    pub(crate) drained: Vec<RouteId>,
    pub(crate) created: Vec<Route>,
    pub(crate) assigned: Vec<NewAssignment>,
    /// Routes for which nothing is to be done any more.
    pub(crate) done: Vec<RouteId>,
}

impl Plan {
    /// What a call asked for.
    pub(crate) fn of_call(transition: Transition, phase: Phase) -> Self {
        Self {
            transition,
            amended: None,
            phase,
            asked_for: true,
            reported: false,
        }
    }

    /// What a call asked for that is on the deployment alone.
    pub(crate) fn of_amendment(amended: Deployment, phase: Phase) -> Self {
        Self {
            amended: Some(Box::new(amended.clone())),
            ..Self::of_call(Transition::step(amended.state), phase)
        }
    }

    /// What a cycle came to.
    pub(crate) fn of_reconcile(evaluation: Evaluation) -> Self {
        let phase = match evaluation.transition.kind {
            TransitionKind::Step => Phase::Evaluate,
            TransitionKind::Promotion => Phase::Promote,
            TransitionKind::RollBack | TransitionKind::InstantRollBack => Phase::RollBack,
        };
        Self {
            transition: evaluation.transition,
            amended: None,
            phase,
            asked_for: false,
            reported: false,
        }
    }
}

impl Locked {
    /// What a plan comes to.
    pub(crate) fn change(self, plan: &Plan, call: &RequestContext) -> Change {
        let Locked {
            deployment: old,
            mut routes,
            endpoints: listed,
            due_at,
            now,
        } = self;
        let changes = &plan.transition.changes;
        let route_changes = RouteChanges::of(&old, &mut routes, changes, now);
        let serving = endpoints(&routes);
        let (mut new, look_at) = follow(&old, plan, &routes, now);
        if serving != listed || new.served_revision() != old.served_revision() {
            new.epoch += 1;
        }
        let sequence = old.sequence;
        let state = |new: &Deployment, endpoints| NewState {
            deployment: new.clone(),
            sequence,
            endpoints,
            due_at: look_at,
        };
        let visible = plan.reported || !changes.is_empty() || !looks_alike(&old, &new);
        if !visible {
            let same = look_at == due_at && new.state == old.state;
            let state = (!same).then(|| state(&new, listed));
            return Change::unseen(new, state);
        }
        new.sequence += 1;
        new.updated_at = now;
        let moves = moves(&old, &new, plan);
        let event = event(plan, &moves);
        let repeats = moves.is_empty() && plan.phase == Phase::Evaluate && !plan.reported;
        new.last_history += moves.len().cast_signed() as i64;
        let work = !changes.rollout.is_empty() || !changes.drain.is_empty();
        let moves: Vec<Move> = (old.last_history + 1..)
            .zip(moves)
            .map(|(number, places)| entry(number, places, &old, &new, plan, call))
            .collect();
        let moved = Moved::by(&moves, &new);
        Change {
            state: Some(state(&new, serving)),
            event: Some(event),
            repeats: repeats.then_some(new.last_history),
            moved: moved.map(|it| it.ends(&old, &new, plan.transition.kind, plan.asked_for)),
            moves,
            touched: Some(CommitNotice {
                deployment: new.id,
                epoch: (new.epoch != old.epoch).then_some(new.epoch),
                due_at: look_at,
                resource_group: work.then(|| new.metadata.resource_group.clone()),
            }),
            routes: route_changes,
            deployment: new,
        }
    }
}

impl Change {
    /// One that nobody outside can tell from none.
    fn unseen(deployment: Deployment, state: Option<NewState>) -> Self {
        Self {
            deployment,
            routes: RouteChanges::default(),
            state,
            moves: Vec::new(),
            repeats: None,
            event: None,
            touched: None,
            moved: None,
        }
    }
}

impl RouteChanges {
    /// What changes come to, and what they make of the routes.
    pub(crate) fn of(
        deployment: &Deployment,
        routes: &mut Vec<Route>,
        changes: &Changes,
        now: Timestamp,
    ) -> Self {
        let group = deployment.metadata.resource_group.as_str();
        let mut assigned = Vec::new();
        for route in routes
            .iter()
            .filter(|route| changes.drain.contains(&route.view.id))
        {
            let at = route.view.stop_at(&deployment.policy, now);
            assigned.push(NewAssignment::new(Action::Stop, route.view.id, group, at));
        }
        changes.apply_all(routes.iter_mut().map(|route| &mut route.view), now);
        let mut created = Vec::new();
        for new in &changes.rollout {
            let views = (0..new.count).map(|_| new.create(RouteId(Uuid::now_v7()), now));
            created.extend(views.map(|view| new_route(deployment.id, view)));
        }
        let start = |route: &Route| NewAssignment::new(Action::Start, route.view.id, group, now);
        assigned.extend(created.iter().map(start));
        routes.extend(created.iter().cloned());
        Self {
            promoted: changes.promote.clone(),
            retained: changes.retain.clone(),
            drained: changes.drain.clone(),
            created,
            assigned,
            ..Self::default()
        }
    }
}

/// A route as it is before anything was reported of it.
fn new_route(deployment: DeploymentId, view: View) -> Route {
    Route {
        deployment,
        view,
        session_id: String::new(),
        address: String::new(),
        failure: String::new(),
    }
}

/// A lifecycle and a sub-step.
type Place = (Lifecycle, Option<SubStep>);

/// The deployment after a plan, but for its epoch and its sequence; and when to
/// look at it again if nothing else happens.
fn follow(
    old: &Deployment,
    plan: &Plan,
    routes: &[Route],
    now: Timestamp,
) -> (Deployment, Option<Timestamp>) {
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
    let stays = outlook.transition.kind == TransitionKind::Step
        && place(&outlook.transition.state) == place(&state);
    if stays {
        // Its clocks, as of now: the cycle finds them as they are shown.
        new.state = outlook.transition.state;
    }
    // A cycle is only for what it would do.
    let idle = stays && outlook.transition.changes.is_empty();
    let look_at = if idle { outlook.wake_at } else { Some(now) };
    let (blue, green) = counts(&new.view(), &views);
    new.deadline_at = outlook.deadline;
    new.status = Status {
        blue,
        green,
        blockers: outlook.blockers,
    };
    (new, look_at)
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
fn moves(old: &Deployment, new: &Deployment, plan: &Plan) -> Vec<(Place, Place)> {
    let (from, to) = (place(&old.state), place(&new.state));
    let by_way = (Lifecycle::Deploying, Some(SubStep::RollingBack));
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

fn event(plan: &Plan, moves: &[(Place, Place)]) -> EventKind {
    match plan.transition.kind {
        TransitionKind::Promotion => EventKind::Promoted,
        TransitionKind::RollBack | TransitionKind::InstantRollBack => EventKind::RolledBack,
        TransitionKind::Step if moves.iter().any(|(from, to)| from != to) => EventKind::Moved,
        TransitionKind::Step if plan.asked_for => EventKind::Updated,
        TransitionKind::Step => EventKind::Progressed,
    }
}

fn entry(
    number: i64,
    (from, to): (Place, Place),
    old: &Deployment,
    new: &Deployment,
    plan: &Plan,
    call: &RequestContext,
) -> Move {
    let deploying = new.state.deploying().or(old.state.deploying());
    Move {
        deployment: new.id,
        number,
        phase: plan.phase,
        outcome: outcome(plan, new),
        from: Some(from),
        to,
        revision: deploying.or(new.state.current()),
        actor: call.actor.clone(),
        reason: call.reason.clone(),
        request: call.request.as_ref().map(|request| request.id),
        status: new.status.clone(),
        at: new.updated_at,
    }
}
