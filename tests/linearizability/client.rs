//! A client that calls at random, and writes down each call with its answer.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use super::{
    call::{Answer, Operation, Refusal, Shown},
    send::send,
};
use crate::harness::{Api, ServerUrls};
use rand::{RngExt as _, SeedableRng as _, rngs::StdRng};
use tokio::time::sleep;
use tonic::Status;
use uuid::Uuid;

/// A call, as its client asks for it.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) name: String,
    pub(super) operation: Operation,
    /// None for reads.
    pub(super) request_id: Option<Uuid>,
    pub(super) expected_generation: Option<i64>,
}

/// A call that was made, with its span on the monotonic clock.
#[derive(Clone, Debug)]
pub(super) struct RecordedCall {
    pub(super) client: usize,
    pub(super) ask: Ask,
    pub(super) start: Instant,
    pub(super) end: Instant,
    pub(super) answer: Answer,
}

/// What all clients of a run have in common.
#[derive(Clone)]
pub(super) struct ClientTerms {
    pub(super) urls: ServerUrls,
    pub(super) names: Vec<String>,
    pub(super) is_over: Arc<AtomicBool>,
    /// How many there were so far.
    pub(super) answers: Arc<AtomicUsize>,
}

pub(super) struct RandomClient {
    number: usize,
    terms: ClientTerms,
    rng: StdRng,
    api: Option<Api>,
    /// What it saw last of each name, which others may have changed since.
    seen: HashMap<String, Shown>,
    marks: u64,
    calls: Vec<RecordedCall>,
}

impl RandomClient {
    pub(super) fn new(number: usize, terms: ClientTerms, seed: u64) -> Self {
        Self {
            number,
            terms,
            rng: StdRng::seed_from_u64(seed << 8 | number as u64),
            api: None,
            seen: HashMap::new(),
            marks: 0,
            calls: Vec::new(),
        }
    }

    /// Calls until the run is over, and returns what it wrote down.
    pub(super) async fn work(mut self) -> Vec<RecordedCall> {
        while !self.terms.is_over.load(Ordering::Relaxed) {
            let mut ask = self.next_ask();
            // A request that took effect long ago, which must not do so again.
            if self.rng.random_ratio(1, 25)
                && let Some(call) = self.any_past_change()
            {
                ask = call.ask.clone();
            }
            while self.make(&ask).await.is_none() && self.repeats(&ask) {
                sleep(PAUSE).await;
            }
        }
        self.calls
    }

    /// Whether a call that was not answered is made again: mostly, and with the same id.
    fn repeats(&mut self, ask: &Ask) -> bool {
        let is_over = self.terms.is_over.load(Ordering::Relaxed);
        ask.request_id.is_some() && !is_over && self.rng.random_ratio(4, 5)
    }

    fn any_past_change(&mut self) -> Option<&RecordedCall> {
        let is_done = |it: &&RecordedCall| {
            it.ask.request_id.is_some() && matches!(it.answer, Answer::Done(_))
        };
        let past: Vec<_> = self.calls.iter().filter(is_done).collect();
        if past.is_empty() {
            return None;
        }
        Some(past[self.rng.random_range(0..past.len())])
    }

    /// Makes a call, and writes it down. None if it was not answered.
    async fn make(&mut self, ask: &Ask) -> Option<()> {
        let Ok(api) = self.reach().await else {
            // Nothing was sent.
            sleep(PAUSE).await;
            return None;
        };
        let start = Instant::now();
        let result = send(&api, ask).await;
        let end = Instant::now();
        let answer = match result {
            Ok(answer) => answer,
            Err(status) => match Refusal::of(&status) {
                Refusal::ByRule(reason) => Answer::Refused(reason),
                Refusal::NotDone => return None,
                Refusal::Open => {
                    self.api = None;
                    Answer::Unknown
                }
            },
        };
        if let Some(shown) = answer.shown() {
            self.seen.insert(ask.name.clone(), shown.clone());
        }
        let is_answered = answer != Answer::Unknown;
        // A read without an answer says nothing.
        if is_answered || ask.request_id.is_some() {
            self.calls.push(RecordedCall {
                client: self.number,
                ask: ask.clone(),
                start,
                end,
                answer,
            });
        }
        self.terms
            .answers
            .fetch_add(usize::from(is_answered), Ordering::Relaxed);
        is_answered.then_some(())
    }

    async fn reach(&mut self) -> Result<Api, Status> {
        // From server to server, also while all of them are there.
        if self.api.is_none() || self.rng.random_ratio(1, 20) {
            self.api = Some(self.terms.urls.any_within(&mut self.rng, PATIENCE).await?);
        }
        self.api.clone().ok_or_else(|| Status::unavailable("away"))
    }

    fn next_ask(&mut self) -> Ask {
        let name = self.rng.random_range(0..self.terms.names.len());
        let name = self.terms.names[name].clone();
        let seen = self.seen.get(&name).cloned();
        let operation = self.next_operation(seen.as_ref());
        let is_read = operation == Operation::Get;
        let is_create = matches!(operation, Operation::Create { .. });
        // What it expects may be out of date.
        let expects = !is_read && !is_create && self.rng.random_ratio(1, 3);
        Ask {
            name,
            request_id: (!is_read).then(Uuid::now_v7),
            expected_generation: seen.filter(|_| expects).map(|it| it.generation),
            operation,
        }
    }

    fn next_operation(&mut self, seen: Option<&Shown>) -> Operation {
        let Some(seen) = seen else {
            return match self.rng.random_range(0..3) {
                0 => Operation::Get,
                _ => self.create(),
            };
        };
        let deploying = Some(seen.deploying).filter(|&it| it > 0);
        match self.rng.random_range(0..100) {
            0..25 => Operation::Get,
            25..40 => Operation::Update {
                target: self.rng.random_ratio(1, 4).then_some(1 + seen.target % 2),
                mark: self.next_mark(),
            },
            40..54 => Operation::Deploy {
                supersede: self.rng.random_ratio(1, 4),
            },
            54..57 => Operation::Activate {
                revision: self
                    .rng
                    .random_range(1..=seen.current.max(seen.deploying) + 1),
                supersede: self.rng.random_ratio(1, 4),
            },
            57..76 => Operation::Promote {
                expected: deploying.filter(|_| self.rng.random_ratio(2, 3)),
            },
            76..80 => Operation::Abort {
                expected: deploying.filter(|_| self.rng.random_ratio(1, 2)),
            },
            80..89 => Operation::RollBack {
                expected: Some(seen.current).filter(|_| self.rng.random_ratio(1, 2)),
                gated: self.rng.random_ratio(1, 3),
            },
            89..91 => Operation::Pause,
            91..95 => Operation::Resume,
            95..96 => Operation::Delete,
            _ => self.create(),
        }
    }

    fn create(&mut self) -> Operation {
        Operation::Create {
            target: self.rng.random_range(1..=2),
            mark: self.next_mark(),
        }
    }

    /// One that no other call of any client has.
    fn next_mark(&mut self) -> u64 {
        self.marks += 1;
        self.marks << 8 | self.number as u64
    }
}

const PAUSE: Duration = Duration::from_millis(10);

/// For how long a client waits for a server that says nothing.
const PATIENCE: Duration = Duration::from_secs(2);
