//! One run: the clock jumps to what is next, the fleet's and the callers' events
//! or the coordinator's next look.

use std::time::Duration;

use viridian_strategy::{Blocker, DeploymentState, Evaluation, ObservedRoute, Timestamp, verbs};

use super::{
    callers::{CallOutcome, RandomCall, revision},
    checks::{AppliedTransition, snapshot_is_sound},
    clocks::ExpectedClocks,
    coverage::RunCoverage,
    fleet::{EventQueue, FleetEvent, SimulatedFleet, make_well},
    legal::{FlatPhase, Initiator},
    stack::ExpectedPast,
    trace::{RunTrace, TraceEntry},
    waits::waits_soundly,
};
use crate::{
    case::{DecisionCase, case, secs},
    generators::{policies::StrategyKind, rng::Rng},
    properties::ready_and_active,
};

/// A deployment and all around it.
pub(crate) struct SimulatedRun<'a> {
    case: DecisionCase,
    rng: Rng,
    fleet: SimulatedFleet,
    queue: EventQueue,
    clocks: ExpectedClocks,
    past: ExpectedPast,
    /// When the coordinator looks again.
    due: Option<Timestamp>,
    trace: RunTrace,
    coverage: &'a mut RunCoverage,
}

impl<'a> SimulatedRun<'a> {
    pub(crate) fn new(seed: u64, kind: StrategyKind, coverage: &'a mut RunCoverage) -> Self {
        let mut rng = Rng::new(seed, Some(4));
        let target = rng.between_u32(0, 6);
        let first = (!rng.one_in(8)).then(|| revision(&mut rng));
        let mut case = case(DeploymentState::Pending { current: None }, target, []);
        case.policy = kind.policy(&mut rng);
        case.apply(&verbs::create(first, target));
        let now = case.now;
        let mut run = Self {
            fleet: SimulatedFleet::new(&mut rng),
            queue: EventQueue::default(),
            clocks: ExpectedClocks::new(now),
            past: ExpectedPast::default(),
            due: Some(now),
            trace: RunTrace::new(seed),
            case,
            rng,
            coverage,
        };
        run.queue.add(now + secs(30), FleetEvent::Call);
        let outage = now + run.rng.wait(0, 3000);
        run.queue.add(outage, FleetEvent::Outage);
        let set_back = now + run.rng.wait(0, 2000);
        run.queue.add(set_back, FleetEvent::ClockSetBack);
        for _ in 0..2 {
            let hiccup = now + run.rng.wait(0, 2000);
            run.queue.add(hiccup, FleetEvent::Hiccup);
        }
        run.fleet.follow(&run.case, &mut run.rng, &mut run.queue);
        run
    }

    /// Lives for a while, then is made well; gives the number of steps.
    pub(crate) fn live(mut self) -> usize {
        let calls = self.rng.between(3, 24);
        let mut made = 0;
        while made < calls {
            let next = self.queue.next_at().expect("there is always another call");
            if let Some(due) = self.due.filter(|&due| due < next) {
                self.pass_to(due);
                self.cycle();
            } else {
                made += u64::from(self.step());
            }
        }
        self.is_made_well();
        self.trace.len()
    }

    /// The next event; says whether it was a call.
    fn step(&mut self) -> bool {
        let (at, event) = self.queue.take().expect("there is always another call");
        self.pass_to(at);
        if event == FleetEvent::Call {
            let call = RandomCall::at_random(&self.case, &mut self.rng);
            self.call(call);
            let soon = if self.rng.one_in(3) { 5 } else { 200 };
            let next = self.case.now + self.rng.wait(0, soon);
            self.queue.add(next, FleetEvent::Call);
            return true;
        }
        if event == FleetEvent::ClockSetBack {
            self.set_clock_back();
            return false;
        }
        let Self {
            case,
            rng,
            fleet,
            queue,
            ..
        } = self;
        if fleet.happen(event, case, rng, queue) {
            fleet.follow(case, rng, queue);
            self.trace.add(at, TraceEntry::Happened(event));
            if let FleetEvent::Health(index) = event {
                self.trace
                    .add(at, TraceEntry::Route(self.case.routes[index]));
            }
            snapshot_is_sound(&self.case);
            self.wake();
        }
        false
    }

    /// The store moves all times back until the latest is the new now. Seen from here, where
    /// the clock goes on, they lie later by that.
    fn set_clock_back(&mut self) {
        let case = &mut self.case;
        let routes = case.loaded();
        let times = routes.iter().map(ObservedRoute::latest_time);
        let latest = times.chain(case.deployment.latest_time()).max();
        let age = latest.map_or(Duration::ZERO, |latest| case.now.since(latest));
        let lost = age.min(self.rng.wait(0, 600));
        // In a pause what was measured before is kept, and these checks could not tell.
        if lost.is_zero() || case.deployment.paused {
            return;
        }
        case.move_times_forward(lost);
        self.trace.add(case.now, TraceEntry::ClockSetBack(lost));
        self.coverage.count("clock", "set back");
        self.clocks.lose(lost, &self.case);
        self.wake();
    }

    fn pass_to(&mut self, to: Timestamp) {
        self.clocks.pass(to, &self.case);
        self.case.now = to;
    }

    /// The coordinator is to look at once; it may be late.
    fn wake(&mut self) {
        let at = self.case.now + self.lateness();
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn lateness(&mut self) -> Duration {
        if self.rng.one_in(8) {
            self.coverage.count("late", "");
            self.rng.wait(1, 120)
        } else {
            Duration::ZERO
        }
    }

    fn cycle(&mut self) -> Evaluation {
        let before = self.case.clone();
        let evaluation = self.case.evaluate();
        let transition = &evaluation.transition;
        let now = self.case.now;
        self.trace
            .add(now, TraceEntry::Decided(Box::new(transition.clone())));
        self.case.apply(transition);
        let applied = AppliedTransition {
            by: Initiator::Cycle,
            before: &before,
            transition,
            after: &self.case,
        };
        applied.is_sound();
        waits_soundly(&applied, &evaluation);
        self.clocks.evaluated(&applied, &evaluation);
        self.past.applied(&applied);
        self.coverage.evaluated(&applied, &evaluation);
        self.fleet
            .follow(&self.case, &mut self.rng, &mut self.queue);
        let late = self.lateness();
        self.due = evaluation.wake_at.map(|wake_at| wake_at + late);
        evaluation
    }

    fn call(&mut self, call: RandomCall) {
        let answer = call.ask(&self.case);
        let now = self.case.now;
        self.trace
            .add(now, TraceEntry::Called(call.clone(), answer.is_some()));
        call.is_answered(&self.case, &self.clocks, &self.past, answer.as_ref());
        self.coverage.rolled_back(&call, &self.case);
        match answer {
            None => return,
            Some(CallOutcome::Moves(by, transition)) => {
                let before = self.case.clone();
                self.trace
                    .add(now, TraceEntry::Decided(Box::new(transition.clone())));
                self.case.apply(&transition);
                let applied = AppliedTransition {
                    by,
                    before: &before,
                    transition: &transition,
                    after: &self.case,
                };
                applied.is_sound();
                self.clocks.called(&applied);
                self.past.applied(&applied);
                self.coverage.changed(&applied);
            }
            Some(CallOutcome::Asks(what, transition, policy)) => {
                self.coverage.asked(what, &self.case);
                self.case.apply(&transition);
                self.case.policy = policy;
                self.clocks.asked(&self.case);
            }
        }
        self.fleet
            .follow(&self.case, &mut self.rng, &mut self.queue);
        self.wake();
    }

    /// The deployment comes to rest once the fleet is well, without a pause, and with
    /// a promotion at the gate.
    fn is_made_well(&mut self) {
        self.trace.add(self.case.now, TraceEntry::Ending);
        if self.case.deployment.paused {
            self.call(RandomCall::Pause(false));
        }
        if self.case.deployment.target_replicas == 0 && self.rng.one_in(2) {
            self.call(RandomCall::Scale(2));
        }
        for _ in 0..LAST_STEPS {
            let evaluation = self.cycle();
            let gate = |blocker: &Blocker| matches!(blocker, Blocker::ManualGate { .. });
            let step = |blocker: &Blocker| matches!(blocker, Blocker::ManualStep { .. });
            let none = |blocker: &Blocker| *blocker == Blocker::NoReplicas;
            self.pass_to(self.case.now + secs(1));
            if make_well(&mut self.case) {
                continue;
            }
            if evaluation.blockers.iter().any(gate) {
                self.call(RandomCall::Promote);
            } else if evaluation.blockers.iter().any(step) {
                self.call(RandomCall::Advance(false));
            } else if evaluation.blockers.iter().any(none)
                && self.case.deployment.state.deploying().is_some()
            {
                self.coverage.count("promotion", "without replicas");
                self.call(RandomCall::Promote);
            } else if let Some(wake_at) = evaluation.wake_at {
                self.pass_to(wake_at.max(self.case.now));
            } else {
                return self.is_at_rest(&evaluation);
            }
        }
        panic!("does not converge: {:#?}", self.case.deployment);
    }

    fn is_at_rest(&self, evaluation: &Evaluation) {
        let DecisionCase {
            deployment, routes, ..
        } = &self.case;
        let target = match FlatPhase::of(&deployment.state) {
            FlatPhase::Ready => deployment.target_replicas,
            FlatPhase::Pending if deployment.state.current().is_none() => 0,
            FlatPhase::Pending if deployment.target_replicas == 0 => 0,
            FlatPhase::Destroyed => 0,
            place => panic!("comes to rest in {place:?}"),
        };
        let left = routes.iter().filter(|route| !route.status.is_over());
        assert_eq!(left.count(), target as usize, "routes at rest");
        assert_eq!(ready_and_active(&self.case), target, "ready at rest");
        let current =
            |blocker: &Blocker| ![Blocker::NoRevision, Blocker::NoReplicas].contains(blocker);
        assert!(!evaluation.blockers.iter().any(current), "{evaluation:?}");
    }
}

/// More than six routes, one by one, need on the way back and forth.
const LAST_STEPS: u32 = 80;
