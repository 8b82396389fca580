//! What the clients of a run wrote down, and what the checker says of it.

use std::collections::{BTreeMap, HashMap};

use uuid::Uuid;

use super::{
    call::{Answer, DeploymentCall},
    checker::{TimedCall, Verdict, check},
    client::RecordedCall,
    model::{DeploymentModel, NameState},
};

/// The calls about each name.
#[derive(Clone, Debug, Default)]
pub(super) struct History(pub(super) BTreeMap<String, Vec<TimedCall<DeploymentCall>>>);

impl History {
    pub(super) fn of(recorded: Vec<RecordedCall>) -> Self {
        let requests = repeated_requests(&recorded);
        let Some(origin) = recorded.iter().map(|it| it.start).min() else {
            return Self::default();
        };
        let since = |instant: std::time::Instant| {
            u64::try_from((instant - origin).as_nanos()).expect("less than centuries")
        };
        let mut history = Self::default();
        for call in recorded {
            let is_answered = call.answer != Answer::Unknown;
            let request = call.ask.request_id.and_then(|it| requests.get(&it));
            let calls = history.0.entry(call.ask.name).or_default();
            calls.push(TimedCall {
                start: since(call.start),
                end: is_answered.then(|| since(call.end)),
                call: DeploymentCall {
                    client: call.client,
                    request: request.copied().unwrap_or_default(),
                    operation: call.ask.operation,
                    expected_generation: call.ask.expected_generation,
                    answer: call.answer,
                },
            });
        }
        history
    }

    /// The first violation, and of which name.
    ///
    /// # Panics
    ///
    /// When the search was given up.
    pub(super) fn violation(&self) -> Option<String> {
        self.0.iter().find_map(|(name, calls)| {
            match check(&DeploymentModel, &NameState::default(), calls) {
                Verdict::Linearizable => None,
                Verdict::Violation(why) => Some(format!("{name}: {why}")),
                Verdict::Undecided => panic!("the search was given up: {name}: {calls:#?}"),
            }
        })
    }

    /// How many calls there are, and how many of them without an answer.
    pub(super) fn counts(&self) -> (usize, usize) {
        let calls = || self.0.values().flatten();
        let unanswered = calls().filter(|it| it.end.is_none());
        (calls().count(), unanswered.count())
    }
}

/// Numbers for the ids that more than one call has. The model need not remember the others.
fn repeated_requests(recorded: &[RecordedCall]) -> HashMap<Uuid, u32> {
    let mut counts = BTreeMap::<Uuid, usize>::new();
    for id in recorded.iter().filter_map(|it| it.ask.request_id) {
        *counts.entry(id).or_default() += 1;
    }
    let repeated = counts.into_iter().filter(|(_, count)| *count > 1);
    repeated.map(|(id, _)| id).zip(1..).collect()
}
