//! What fleets and callers do at one instant.

use futures::future::join_all;

use super::{RETRY_DELAY, Results, SimulatedStore, open};
use crate::{
    Deployment, HealthReport, RequestContext, StatusReport, Store, StoreError,
    tests::fixture::find_deployment,
    tests::simulation::{
        agenda::ScheduledEvent,
        callers::{StoreCall, terms},
        fleet::ReplicaReport,
    },
};

/// What happens at one instant.
#[derive(Default)]
pub(super) struct InstantEvents {
    pub(super) statuses: Vec<(usize, StatusReport)>,
    pub(super) healths: Vec<(usize, HealthReport)>,
    pub(super) calls: Vec<StartedCall>,
}

pub(super) struct StartedCall {
    pub(super) place: usize,
    pub(super) before: Result<Deployment, StoreError>,
    pub(super) ask: StoreCall,
    pub(super) terms: RequestContext,
}

impl SimulatedStore<'_> {
    pub(super) async fn take_deeds(&mut self) -> InstantEvents {
        let now = self.time.now();
        let mut deeds = InstantEvents::default();
        for place in 0..self.lives.len() {
            while let Some(happening) = self.lives[place].agenda.take(now) {
                self.coordinator.is_idle = false;
                self.take_deed(place, happening, &mut deeds).await;
            }
        }
        deeds
    }

    async fn take_deed(
        &mut self,
        place: usize,
        happening: ScheduledEvent,
        deeds: &mut InstantEvents,
    ) {
        let now = self.time.now();
        let life = &mut self.lives[place];
        match happening {
            ScheduledEvent::Poisoned(poison) => {
                life.note(now, format_args!("{poison:?}"));
                life.poison = Some(poison);
                let fixture = open(&self.fixture);
                poison.strike(fixture, self.engine, life.id, now).await;
                self.coordinator.look_at = now;
            }
            ScheduledEvent::Cured => {
                life.note(now, "cured");
                if let Some(poison) = life.poison.take() {
                    poison.cure(open(&self.fixture), self.engine, life.id).await;
                }
            }
            ScheduledEvent::Call | ScheduledEvent::Attend => {
                let before = find_deployment(&open(&self.fixture).db, life.id).await;
                let before = before.transpose().expect("it is there");
                let attends = matches!(happening, ScheduledEvent::Attend);
                let ask = match &before {
                    Ok(before) if attends => life.attend(before, now),
                    Ok(before) => {
                        let (known, rng) = (&life.revisions, &mut life.rng);
                        Some(StoreCall::at_random(known, before.paused, rng))
                    }
                    Err(_) if attends => {
                        life.agenda.add(now + RETRY_DELAY, ScheduledEvent::Attend);
                        None
                    }
                    Err(_) => Some(StoreCall::at_random(&life.revisions, false, &mut life.rng)),
                };
                if !attends {
                    life.next_call(now);
                }
                deeds.calls.extend(ask.map(|ask| StartedCall {
                    place,
                    before,
                    ask,
                    terms: terms(&mut life.rng),
                }));
            }
            happening => {
                let said = life
                    .fleet
                    .happen(&happening, now, &mut life.rng, &mut life.agenda);
                if said.is_some() {
                    life.note(now, format_args!("{happening:?} {said:?}"));
                }
                match said {
                    Some(ReplicaReport::Status(report)) => deeds.statuses.push((place, report)),
                    Some(ReplicaReport::Health(report)) => deeds.healths.push((place, report)),
                    None => {}
                }
            }
        }
    }

    /// One behind the other: each caller is told what it found and did.
    pub(super) async fn do_in_order(&mut self, deeds: InstantEvents) {
        let InstantEvents {
            statuses,
            healths,
            calls,
        } = deeds;
        let db = open(&self.fixture).db.clone();
        let results = report_statuses(&db, &statuses).await;
        self.statuses_are_taken(statuses, results);
        let results = report_healths(&db, &healths).await;
        self.healths_are_taken(healths, results);
        for calling in calls {
            // As reports have left it.
            let id = self.lives[calling.place].id;
            let before = find_deployment(&db, id).await.transpose();
            let calling = StartedCall {
                before: before.expect("it is there"),
                ..calling
            };
            let reply = calling.ask.ask(&db, id, &calling.terms).await;
            self.is_answered_alone(&calling, &reply).await;
            self.is_answered(calling, reply).await;
        }
    }

    /// Together, with passes of the coordinator and a check in the midst of it.
    pub(super) async fn do_together(&mut self, deeds: InstantEvents) {
        let InstantEvents {
            statuses,
            healths,
            calls,
        } = deeds;
        let now = self.time.now();
        let db = open(&self.fixture).db.clone();
        let reports = async {
            let of_statuses = report_statuses(&db, &statuses).await;
            (of_statuses, report_healths(&db, &healths).await)
        };
        let lives = &self.lives;
        let asks = calls.iter().map(|calling| {
            calling
                .ask
                .ask(&db, lives[calling.place].id, &calling.terms)
        });
        let (coordinator, rng) = (&mut self.coordinator, &mut self.rng);
        let ((of_statuses, of_healths), replies, passes) =
            futures::join!(reports, join_all(asks), coordinator.pass(&db, now, rng));
        self.statuses_are_taken(statuses, of_statuses);
        self.healths_are_taken(healths, of_healths);
        for pass in passes {
            self.is_sound(pass);
        }
        for (calling, reply) in calls.into_iter().zip(replies) {
            self.is_answered(calling, reply).await;
        }
    }
}

async fn report_statuses(db: &Store, reports: &[(usize, StatusReport)]) -> Results {
    if reports.is_empty() {
        return Vec::new();
    }
    let reports = reports.iter().map(|(_, report)| report.clone()).collect();
    let results = db.report_statuses(reports).await;
    results.expect("the batch is taken")
}

async fn report_healths(db: &Store, reports: &[(usize, HealthReport)]) -> Results {
    if reports.is_empty() {
        return Vec::new();
    }
    let reports = reports.iter().map(|(_, report)| report.clone()).collect();
    let results = db.report_health(reports).await;
    results.expect("the batch is taken")
}
