//! One run: the clock jumps to what is next, the fleet's and the callers' events
//! or the coordinator's next look.

use std::time::Duration;

use viridian_strategy::{Blocker, Evaluation, State, Timestamp, verbs};

use super::{
    callers::{Answer, Call, revision},
    checks::{Deed, snapshot_is_sound},
    clocks::Clocks,
    coverage::Coverage,
    dice::Dice,
    fleet::{Agenda, Fleet, Happening, make_well},
    legal::{By, Place},
    policies::Way,
    trace::{Entry, Trace},
    waits::waits_soundly,
};
use crate::{
    properties::ready_and_active,
    scene::{Scene, scene, secs},
};

/// A deployment and all around it.
pub(crate) struct Run<'a> {
    scene: Scene,
    dice: Dice,
    fleet: Fleet,
    agenda: Agenda,
    clocks: Clocks,
    /// When the coordinator looks again.
    due: Option<Timestamp>,
    trace: Trace,
    coverage: &'a mut Coverage,
}

impl<'a> Run<'a> {
    pub(crate) fn new(seed: u64, way: Way, coverage: &'a mut Coverage) -> Self {
        let mut dice = Dice::new(seed);
        let target = u32::try_from(dice.below(7)).expect("small");
        let first = (!dice.one_in(8)).then(|| revision(&mut dice));
        let mut scene = scene(State::Pending { current: None }, target, []);
        scene.policy = way.policy(&mut dice);
        scene.apply(&verbs::create(first, target));
        let now = scene.now;
        let mut run = Self {
            fleet: Fleet::new(&mut dice),
            agenda: Agenda::default(),
            clocks: Clocks::new(now),
            due: Some(now),
            trace: Trace::new(seed),
            scene,
            dice,
            coverage,
        };
        run.agenda.add(now + secs(30), Happening::Call);
        let outage = now + run.dice.wait(0, 3000);
        run.agenda.add(outage, Happening::Outage);
        run.fleet.follow(&run.scene, &mut run.dice, &mut run.agenda);
        run
    }

    /// Lives for a while, then is made well; gives the number of steps.
    pub(crate) fn live(mut self) -> usize {
        let calls = self.dice.between(3, 24);
        let mut made = 0;
        while made < calls {
            let next = self.agenda.next_at().expect("there is always another call");
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
        let (at, happening) = self.agenda.take().expect("there is always another call");
        self.pass_to(at);
        if happening == Happening::Call {
            let call = Call::at_random(&self.scene, &mut self.dice);
            self.call(call);
            let soon = if self.dice.one_in(3) { 5 } else { 200 };
            let next = self.scene.now + self.dice.wait(0, soon);
            self.agenda.add(next, Happening::Call);
            return true;
        }
        let Self {
            scene,
            dice,
            fleet,
            agenda,
            ..
        } = self;
        if fleet.happen(happening, scene, dice, agenda) {
            fleet.follow(scene, dice, agenda);
            self.trace.add(at, Entry::Happened(happening));
            if let Happening::Health(index) = happening {
                self.trace.add(at, Entry::Route(self.scene.routes[index]));
            }
            snapshot_is_sound(&self.scene);
            self.wake();
        }
        false
    }

    fn pass_to(&mut self, to: Timestamp) {
        self.clocks.pass(to, &self.scene);
        self.scene.now = to;
    }

    /// The coordinator is to look at once; it may be late.
    fn wake(&mut self) {
        let at = self.scene.now + self.lateness();
        self.due = Some(self.due.map_or(at, |due| due.min(at)));
    }

    fn lateness(&mut self) -> Duration {
        if self.dice.one_in(8) {
            self.coverage.count("late", "");
            self.dice.wait(1, 120)
        } else {
            Duration::ZERO
        }
    }

    fn cycle(&mut self) -> Evaluation {
        let before = self.scene.clone();
        let evaluation = self.scene.evaluate();
        let transition = &evaluation.transition;
        let now = self.scene.now;
        self.trace
            .add(now, Entry::Decided(Box::new(transition.clone())));
        self.scene.apply(transition);
        let deed = Deed {
            by: By::Cycle,
            before: &before,
            transition,
            after: &self.scene,
        };
        deed.is_sound();
        waits_soundly(&deed, &evaluation);
        self.clocks.evaluated(&deed, &evaluation);
        self.coverage.evaluated(&deed, &evaluation);
        self.fleet
            .follow(&self.scene, &mut self.dice, &mut self.agenda);
        let late = self.lateness();
        self.due = evaluation.wake_at.map(|wake_at| wake_at + late);
        evaluation
    }

    fn call(&mut self, call: Call) {
        let answer = call.ask(&self.scene);
        let now = self.scene.now;
        self.trace.add(now, Entry::Called(call, answer.is_some()));
        call.is_answered(&self.scene, &self.clocks, answer.as_ref());
        match answer {
            None => return,
            Some(Answer::Moves(by, transition)) => {
                let before = self.scene.clone();
                self.trace
                    .add(now, Entry::Decided(Box::new(transition.clone())));
                self.scene.apply(&transition);
                let deed = Deed {
                    by,
                    before: &before,
                    transition: &transition,
                    after: &self.scene,
                };
                deed.is_sound();
                self.clocks.called(&deed);
                self.coverage.changed(&deed);
            }
            Some(Answer::Asks(what, deployment, policy)) => {
                self.coverage.asked(what, &self.scene);
                self.scene.deployment = deployment;
                self.scene.policy = policy;
                self.clocks.asked(&self.scene);
            }
        }
        self.fleet
            .follow(&self.scene, &mut self.dice, &mut self.agenda);
        self.wake();
    }

    /// Once the fleet is well, nobody pauses and someone promotes, all comes to
    /// rest.
    fn is_made_well(&mut self) {
        self.trace.add(self.scene.now, Entry::Ending);
        if self.scene.deployment.paused {
            self.call(Call::Pause(false));
        }
        for _ in 0..LAST_STEPS {
            let evaluation = self.cycle();
            let gate = |blocker: &Blocker| matches!(blocker, Blocker::ManualGate { .. });
            self.pass_to(self.scene.now + secs(1));
            if make_well(&mut self.scene) {
                continue;
            }
            if evaluation.blockers.iter().any(gate) {
                self.call(Call::Promote);
            } else if let Some(wake_at) = evaluation.wake_at {
                self.pass_to(wake_at.max(self.scene.now));
            } else {
                return self.is_at_rest(&evaluation);
            }
        }
        panic!("does not converge: {:#?}", self.scene.deployment);
    }

    fn is_at_rest(&self, evaluation: &Evaluation) {
        let Scene {
            deployment, routes, ..
        } = &self.scene;
        let target = match Place::of(&deployment.state) {
            Place::Ready => deployment.target_replicas,
            Place::Pending if deployment.state.current().is_none() => 0,
            Place::Destroyed => 0,
            place => panic!("comes to rest in {place:?}"),
        };
        let left = routes.iter().filter(|route| !route.status.is_over());
        assert_eq!(left.count(), target as usize, "routes at rest");
        assert_eq!(ready_and_active(&self.scene), target, "ready at rest");
        let current = |blocker: &Blocker| *blocker != Blocker::NoRevision;
        assert!(!evaluation.blockers.iter().any(current), "{evaluation:?}");
    }
}

/// More than six routes, one by one, need on the way back and forth.
const LAST_STEPS: u32 = 80;
