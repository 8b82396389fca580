//! One deployment with its replicas and callers, all from one seed.

use std::{fmt::Display, time::Duration};

use uuid::Uuid;
use viridian_strategy::{DeploymentId, DeploymentState, RevisionId, Timestamp};

use super::{
    agenda::{EventSchedule, ScheduledEvent},
    callers::{StoreCall, is_at_gate, is_at_manual_step, is_settled},
    coordinator::{INITIAL_BACKOFF, MAX_BACKOFF},
    fleet::SimulatedReplicas,
    generators::rng::Rng,
    poison::RowDamage,
    policies::policy,
};
use crate::{
    Deployment, Metadata, NewDeployment,
    tests::fixture::{new_deployment, spec},
};

pub(super) struct SimulatedDeployment {
    pub(super) seed: u64,
    pub(super) id: DeploymentId,
    pub(super) rng: Rng,
    pub(super) fleet: SimulatedReplicas,
    pub(super) agenda: EventSchedule,
    pub(super) revisions: Vec<RevisionId>,
    /// How many calls are made before all replicas become healthy.
    pub(super) calls: u64,
    pub(super) poison: Option<RowDamage>,
    /// When its reconciles failed, since the last one that succeeded.
    failures: Vec<Timestamp>,
    end: FinalState,
    attended: u32,
    /// Whether it has been brought to rest.
    pub(super) rests: bool,
    trace: Vec<(Timestamp, String)>,
}

/// The state in which it may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum FinalState {
    Whole,
    /// An operator paused it.
    Paused,
    /// No one promotes it.
    AtGate,
}

impl SimulatedDeployment {
    pub(super) fn new(seed: u64, health_ttl: Option<Duration>) -> (Self, NewDeployment) {
        let mut rng = Rng::new(seed, None);
        let new = NewDeployment {
            metadata: Metadata {
                resource_group: super::GROUP.into(),
                ..Metadata::default()
            },
            target_replicas: rng.between_u32(0, 4),
            policy: policy(&mut rng),
            initial_revision: (!rng.one_in(8)).then(spec),
            ..new_deployment("p", &format!("seed-{seed}"))
        };
        let life = Self {
            seed,
            id: DeploymentId(Uuid::nil()),
            fleet: SimulatedReplicas::new(health_ttl),
            agenda: EventSchedule::default(),
            revisions: Vec::new(),
            calls: rng.between(3, 9),
            poison: None,
            failures: Vec::new(),
            end: rng.pick(&[
                FinalState::Whole,
                FinalState::Whole,
                FinalState::Whole,
                FinalState::Paused,
                FinalState::AtGate,
            ]),
            attended: 0,
            rests: false,
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
            let poison = RowDamage::at_random(&mut self.rng);
            self.agenda.add(at, ScheduledEvent::Poisoned(poison));
            let cured = at + self.rng.wait(1, 90);
            self.agenda.add(cured, ScheduledEvent::Cured);
        }
    }

    /// Puts the next call on the agenda, or the end of it all.
    pub(super) fn next_call(&mut self, now: Timestamp) {
        let soon = if self.rng.one_in(3) { 3 } else { 60 };
        let at = now + self.rng.wait(0, soon);
        if self.calls == 0 {
            // Later than the last call, whose result decides what is left to do.
            self.agenda
                .add(at + ATTENDANCE_INTERVAL, ScheduledEvent::Attend);
        } else {
            self.calls -= 1;
            self.agenda.add(at, ScheduledEvent::Call);
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

    /// Returns the call that brings it nearer to rest, if one is needed, and schedules the
    /// next look unless it is at rest.
    pub(super) fn attend(&mut self, deployment: &Deployment, now: Timestamp) -> Option<StoreCall> {
        if self.attended == 0 {
            self.fleet.is_made_well(now, &mut self.agenda);
        }
        self.attended += 1;
        if self.attended > MAX_ATTENDANCES {
            self.fail(format!("does not come to rest: {deployment:#?}"));
        }
        let gone = matches!(
            deployment.state,
            DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. }
        );
        let ask = if gone {
            None
        } else if deployment.paused {
            (self.end != FinalState::Paused).then_some(StoreCall::Pause(false))
        } else if self.end == FinalState::Paused && self.attended == 1 {
            Some(StoreCall::Pause(true))
        } else {
            let promote = is_at_gate(deployment) && self.end != FinalState::AtGate;
            let no_replicas =
                deployment.state.deploying().is_some() && deployment.target_replicas == 0;
            match (promote, no_replicas) {
                (true, _) => Some(StoreCall::Promote),
                (_, true) => Some(StoreCall::Scale(2)),
                _ if is_at_manual_step(deployment) => Some(StoreCall::Advance(None, false)),
                _ => None,
            }
        };
        self.rests = ask.is_none() && self.is_at_rest(deployment);
        if !self.rests {
            self.agenda
                .add(now + ATTENDANCE_INTERVAL, ScheduledEvent::Attend);
        }
        ask
    }

    /// It was at rest, and something has happened to it.
    pub(super) fn goes_on(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.rests) {
            let at = now + ATTENDANCE_INTERVAL;
            self.agenda.add(at, ScheduledEvent::Attend);
        }
    }

    /// Whether it may stay in its state for ever.
    pub(super) fn is_at_rest(&self, deployment: &Deployment) -> bool {
        match self.end {
            _ if is_settled(deployment) => true,
            FinalState::Whole => false,
            FinalState::Paused => deployment.paused,
            FinalState::AtGate => is_at_gate(deployment),
        }
    }

    /// Its cycle failed. It was set aside for longer each time.
    pub(super) fn failed(&mut self, now: Timestamp) {
        self.note(now, "a cycle fails");
        if self.failures.last() == Some(&now) {
            // Two workers met it at once.
            return;
        }
        // The clock was set back since: nobody here knows by how much it is early.
        if self.failures.last().is_some_and(|&last| now < last) {
            self.failures.clear();
        }
        let times = u32::try_from(self.failures.len()).expect("a few");
        if let Some(&last) = self.failures.last() {
            let aside = INITIAL_BACKOFF
                .saturating_mul(2_u32.pow(times - 1))
                .min(MAX_BACKOFF);
            if now < last + aside {
                self.fail(format!("failed at {last} and again at {now}"));
            }
        }
        self.failures.push(now);
    }

    /// Its reconcile succeeded, or the server with its backoff is gone.
    pub(super) fn clear_failures(&mut self) {
        self.failures.clear();
    }

    /// The longest time that its last failure may keep it from being looked at.
    pub(super) fn excused_until(&self) -> Option<Timestamp> {
        self.failures.last().map(|&at| at + MAX_BACKOFF)
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

const ATTENDANCE_INTERVAL: Duration = Duration::from_secs(5);
/// How often it is looked at before it must be at rest.
const MAX_ATTENDANCES: u32 = 400;
