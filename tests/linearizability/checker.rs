//! Linearizability by search (Wing and Gong, with the memo of Lowe).
//!
//! A history is linearizable if each call can be given one instant between its start and its
//! end, so that the calls in the order of these instants are a run of the model. A call whose
//! answer is unknown has no end: it may have taken effect at any time after its start, or never.

use std::{collections::HashSet, fmt::Debug, hash::Hash};

/// What a history is compared with.
pub(super) trait Model {
    type Call: Debug;
    type State: Clone + Debug + Eq + Hash;

    /// The states in which a call leaves the model if it takes effect now and gets the answer
    /// that it got. None if it cannot get that answer in this state.
    fn after(&self, state: &Self::State, call: &Self::Call) -> Vec<Self::State>;

    /// Whether a call can get its answer in no state that follows this one. The search leaves
    /// a state early where this is so of a call that has yet to be placed.
    fn is_too_late(&self, state: &Self::State, call: &Self::Call) -> bool;

    /// Whether two calls without answers are one request, which takes effect once at most.
    fn are_one_request(&self, one: &Self::Call, other: &Self::Call) -> bool;
}

/// A call with its span, in nanoseconds from some start.
#[derive(Clone, Debug)]
pub(super) struct TimedCall<C> {
    pub(super) start: u64,
    /// None if the answer is unknown.
    pub(super) end: Option<u64>,
    pub(super) call: C,
}

/// What the search came to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    Linearizable,
    /// How far the best attempt came, for someone who looks for the reason.
    Violation(String),
    /// Given up after [`MAX_STEPS`].
    Undecided,
}

/// Looks for an order of the calls that is a run of the model from `initial` on.
pub(super) fn check<M: Model>(
    model: &M,
    initial: &M::State,
    calls: &[TimedCall<M::Call>],
) -> Verdict {
    let mut calls: Vec<_> = calls.iter().collect();
    calls.sort_by_key(|it| it.start);
    let mut search = Search {
        model,
        placed: PlacedCalls::none_of(calls.len()),
        open: calls.iter().filter(|it| it.end.is_some()).count(),
        calls,
        order: Vec::new(),
        seen: HashSet::new(),
        best: None,
        steps: 0,
    };
    match search.extend(initial) {
        Some(true) => Verdict::Linearizable,
        Some(false) => Verdict::Violation(search.best.map(|it| it.text).unwrap_or_default()),
        None => Verdict::Undecided,
    }
}

struct Search<'a, M: Model> {
    model: &'a M,
    /// By start.
    calls: Vec<&'a TimedCall<M::Call>>,
    placed: PlacedCalls,
    /// How many calls with an answer have yet to be placed.
    open: usize,
    order: Vec<usize>,
    /// Sets of placed calls and the states they led to, from which there is no way on.
    seen: HashSet<(PlacedCalls, M::State)>,
    best: Option<BestAttempt>,
    steps: usize,
}

struct BestAttempt {
    placed: usize,
    text: String,
}

impl<M: Model> Search<'_, M> {
    /// Whether the rest can be placed. None if it is given up.
    fn extend(&mut self, state: &M::State) -> Option<bool> {
        if self.open == 0 {
            return Some(true);
        }
        if !self.seen.insert((self.placed.clone(), state.clone())) {
            return Some(false);
        }
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return None;
        }
        let candidates = self.candidates();
        // Without this, calls without answers are tried in every order and number.
        if self.misses_an_answer(state) {
            self.note(state, &candidates);
            return Some(false);
        }
        for &index in &candidates {
            for next in self.model.after(state, &self.calls[index].call) {
                // As good as never: what changes nothing and is not answered needs no place.
                if self.calls[index].end.is_none() && next == *state {
                    continue;
                }
                self.place(index);
                let found = self.extend(&next);
                self.unplace(index);
                if found != Some(false) {
                    return found;
                }
            }
        }
        self.note(state, &candidates);
        Some(false)
    }

    /// Whether a call that is not placed yet can no longer get its answer.
    fn misses_an_answer(&self, state: &M::State) -> bool {
        let calls = self.calls.iter().enumerate();
        let mut open = calls.filter(|(at, it)| it.end.is_some() && !self.placed.has(*at));
        open.any(|(_, it)| self.model.is_too_late(state, &it.call))
    }

    /// The calls that may be next: those that began before each call that is not placed yet had
    /// its answer. Those with answers come first, since most of the others never took effect.
    fn candidates(&self) -> Vec<usize> {
        let left = || (0..self.calls.len()).filter(|&it| !self.placed.has(it));
        let first_end = left().filter_map(|it| self.calls[it].end).min();
        let first_end = first_end.unwrap_or(u64::MAX);
        let begun = |&index: &usize| self.calls[index].start <= first_end;
        let mut candidates: Vec<_> = left().take_while(begun).collect();
        self.leave_one_of_each_request(&mut candidates);
        candidates.sort_by_key(|&it| self.calls[it].end.unwrap_or(u64::MAX));
        candidates
    }

    /// Of the unanswered attempts at one request, one is as good as another.
    fn leave_one_of_each_request(&self, candidates: &mut Vec<usize>) {
        let mut attempts: Vec<usize> = Vec::new();
        candidates.retain(|&index| {
            let TimedCall { end, call, .. } = self.calls[index];
            if end.is_some() {
                return true;
            }
            let same = |&other: &usize| self.model.are_one_request(&self.calls[other].call, call);
            let is_first = !attempts.iter().any(same);
            attempts.push(index);
            is_first
        });
    }

    fn place(&mut self, index: usize) {
        self.placed.flip(index);
        self.order.push(index);
        self.open -= usize::from(self.calls[index].end.is_some());
    }

    fn unplace(&mut self, index: usize) {
        self.placed.flip(index);
        self.order.pop();
        self.open += usize::from(self.calls[index].end.is_some());
    }

    fn note(&mut self, state: &M::State, candidates: &[usize]) {
        let placed = self.order.len();
        if self.best.as_ref().is_some_and(|best| best.placed >= placed) {
            return;
        }
        let before = self.order.iter().rev().take(SHOWN).rev();
        let lines = |indices: &mut dyn Iterator<Item = &usize>| {
            let lines = indices.map(|&it| format!("    {:?}\n", self.calls[it]));
            lines.collect::<String>()
        };
        let text = format!(
            "after {placed} of {} calls, the last of them\n{}the state is\n    {state:?}\n\
             and none of these can be next:\n{}",
            self.calls.len(),
            lines(&mut before.into_iter()),
            lines(&mut candidates.iter()),
        );
        self.best = Some(BestAttempt { placed, text });
    }
}

/// A set of calls, a bit each.
#[derive(Clone, PartialEq, Eq, Hash)]
struct PlacedCalls(Box<[u64]>);

impl PlacedCalls {
    fn none_of(count: usize) -> Self {
        Self(vec![0; count.div_ceil(64)].into())
    }

    fn has(&self, index: usize) -> bool {
        self.0[index / 64] >> (index % 64) & 1 == 1
    }

    fn flip(&mut self, index: usize) {
        self.0[index / 64] ^= 1 << (index % 64);
    }
}

/// More than any history of a run has needed by far; a search without bound would hang.
const MAX_STEPS: usize = 2_000_000;

/// How many of the placed calls a violation shows.
const SHOWN: usize = 6;
