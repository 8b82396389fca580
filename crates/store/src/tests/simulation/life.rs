//! One deployment, with its fleet and its callers: all of it comes from one
//! seed.

use std::{fmt::Display, time::Duration};

use uuid::Uuid;
use viridian_strategy::{DeploymentId, DeploymentState, RevisionId, Timestamp};

use super::{
    agenda::{Agenda, Happening},
    callers::{Ask, is_at_gate, is_settled},
    coordinator::{FIRST, LONGEST},
    fleet::Fleet,
    generators::rng::Rng,
    poison::Poison,
    policies::policy,
};
use crate::{Deployment, Metadata, NewDeployment, tests::fixture::spec};

pub(super) struct Life {
    pub(super) seed: u64,
    pub(super) id: DeploymentId,
    pub(super) rng: Rng,
    pub(super) fleet: Fleet,
    pub(super) agenda: Agenda,
    pub(super) revisions: Vec<RevisionId>,
    /// How many calls are to come before all is made well.
    pub(super) calls: u64,
    pub(super) poison: Option<Poison>,
    /// When its cycles failed one after the other.
    failures: Vec<Timestamp>,
    end: End,
    attended: u32,
    trace: Vec<(Timestamp, String)>,
}

/// How it is left in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Whole,
    /// Someone paused it.
    Paused,
    /// Nobody promotes.
    AtGate,
}

impl Life {
    pub(super) fn new(seed: u64) -> (Self, NewDeployment) {
        let mut rng = Rng::new(seed, None);
        let new = NewDeployment {
            project: "p".into(),
            name: format!("seed-{seed}"),
            labels: [].into(),
            metadata: Metadata {
                resource_group: super::GROUP.into(),
                ..Metadata::default()
            },
            target_replicas: rng.between_u32(0, 4),
            policy: policy(&mut rng),
            revision_history_limit: 10,
            initial_revision: (!rng.one_in(8)).then(spec),
        };
        let life = Self {
            seed,
            id: DeploymentId(Uuid::nil()),
            fleet: Fleet::default(),
            agenda: Agenda::default(),
            revisions: Vec::new(),
            calls: rng.between(3, 9),
            poison: None,
            failures: Vec::new(),
            end: rng.pick(&[End::Whole, End::Whole, End::Whole, End::Paused, End::AtGate]),
            attended: 0,
            trace: Vec::new(),
            rng,
        };
        (life, new)
    }

    /// Begins when the deployment was created.
    pub(super) fn begin(&mut self, created: &Deployment, now: Timestamp) {
        self.id = created.id;
        self.knows(created);
        self.next_call(now);
        if self.rng.one_in(6) {
            let at = now + self.rng.wait(1, 150);
            let poison = Poison::at_random(&mut self.rng);
            self.agenda.add(at, Happening::Poisoned(poison));
            let cured = at + self.rng.wait(1, 90);
            self.agenda.add(cured, Happening::Cured);
        }
    }

    /// Puts the next call on the agenda, or the end of it all.
    pub(super) fn next_call(&mut self, now: Timestamp) {
        let soon = if self.rng.one_in(3) { 3 } else { 60 };
        let at = now + self.rng.wait(0, soon);
        if self.calls == 0 {
            // Who attends to it sees what the last call came to.
            self.agenda.add(at + EVERY, Happening::Attend);
        } else {
            self.calls -= 1;
            self.agenda.add(at, Happening::Call);
        }
    }

    /// Notes which revisions there are.
    pub(super) fn knows(&mut self, deployment: &Deployment) {
        let state = &deployment.state;
        for revision in [state.current(), state.deploying()].into_iter().flatten() {
            if !self.revisions.contains(&revision) {
                self.revisions.push(revision);
            }
        }
    }

    /// What someone asks for who wants it to end well. None when there is
    /// nothing left to ask for; says so by the agenda when it has to be seen to
    /// again.
    pub(super) fn attend(&mut self, deployment: &Deployment, now: Timestamp) -> Option<Ask> {
        if self.attended == 0 {
            self.fleet.is_made_well(now, &mut self.agenda);
        }
        self.attended += 1;
        if self.attended > PATIENCE {
            self.fail(format!("does not come to rest: {deployment:#?}"));
        }
        let gone = matches!(
            deployment.state,
            DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. }
        );
        let ask = if gone {
            None
        } else if deployment.paused {
            (self.end != End::Paused).then_some(Ask::Pause(false))
        } else if self.end == End::Paused && self.attended == 1 {
            Some(Ask::Pause(true))
        } else {
            let promote = is_at_gate(deployment) && self.end != End::AtGate;
            promote.then_some(Ask::Promote)
        };
        if ask.is_some() || !self.is_at_rest(deployment) {
            self.agenda.add(now + EVERY, Happening::Attend);
        }
        ask
    }

    /// Whether it is where it may stay for ever.
    pub(super) fn is_at_rest(&self, deployment: &Deployment) -> bool {
        match self.end {
            _ if is_settled(deployment) => true,
            End::Whole => false,
            End::Paused => deployment.paused,
            End::AtGate => is_at_gate(deployment),
        }
    }

    /// Its cycle failed. It was set aside for longer each time.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.note(now, "a cycle fails");
        let times = u32::try_from(self.failures.len()).expect("a few");
        if self.failures.last() == Some(&now) {
            // Two workers met it at once.
            return;
        }
        if let Some(&last) = self.failures.last() {
            let aside = FIRST.saturating_mul(2_u32.pow(times - 1)).min(LONGEST);
            if now < last + aside {
                self.fail(format!("failed at {last} and again at {now}"));
            }
        }
        self.failures.push(now);
    }

    /// Its cycle did not fail, or whoever remembered is gone.
    pub(super) fn forget_failures(&mut self) {
        self.failures.clear();
    }

    /// The longest time that its last failure may keep it from being looked at.
    pub(super) fn excused_until(&self) -> Option<Timestamp> {
        self.failures.last().map(|&at| at + LONGEST)
    }

    pub(super) fn note(&mut self, now: Timestamp, what: impl Display) {
        self.trace.push((now, what.to_string()));
    }

    /// Ends the test, with all that happened.
    pub(super) fn fail(&self, why: impl Display) -> ! {
        let told = self.trace.iter().map(|(at, what)| format!("{at} {what}\n"));
        let told: String = told.collect();
        let Self { seed, id, .. } = self;
        panic!(
            "{told}\nseed {seed}, deployment {id}: {why}\n\
             run it alone with VIRIDIAN_SEED={seed} VIRIDIAN_SEEDS=1"
        );
    }
}

const EVERY: Duration = Duration::from_secs(5);
/// How often someone looks until it ought to be at rest.
const PATIENCE: u32 = 400;
