//! The search: breadth first, from a new deployment, over canonical states.

use std::{
    collections::{HashMap, VecDeque},
    fmt::Write,
    rc::Rc,
};

use super::{
    config::ModelConfig,
    rest, rules,
    state::{ModelAction, ModelState},
};

/// What a search has found.
pub(super) struct StateSearch<'a> {
    pub(super) config: &'a ModelConfig,
    /// Every state that can be reached, with its number.
    known: HashMap<Rc<[u8]>, u32>,
    /// From which state each was reached first, and how.
    parents: Vec<(u32, ModelAction)>,
    /// The next state on the good way; itself at rest.
    ahead: Vec<u32>,
    pub(super) transitions: u64,
}

const NOWHERE: u32 = u32::MAX;

impl<'a> StateSearch<'a> {
    /// Visits every state, and judges every step.
    pub(super) fn run(config: &'a ModelConfig) -> Self {
        let mut search = Self {
            config,
            known: HashMap::new(),
            parents: Vec::new(),
            ahead: Vec::new(),
            transitions: 0,
        };
        let mut queue = VecDeque::new();
        let root = ModelState::new(config).canonical(config);
        search.meet(root, (NOWHERE, ModelAction::Evaluate), &mut queue);
        while let Some((number, model)) = queue.pop_front() {
            search.expand(number, &model, &mut queue);
        }
        search
    }

    pub(super) fn states(&self) -> usize {
        self.parents.len()
    }

    /// Whether the search has met the state.
    pub(super) fn knows(&self, canonical: &ModelState) -> bool {
        self.known.contains_key(&*canonical.code())
    }

    /// The good way leads to rest from everywhere: no state is a dead end, and
    /// none is on a circle.
    pub(super) fn ends_well(&self) {
        let mut good = vec![false; self.states()];
        for start in 0..self.states() {
            let mut way = Vec::new();
            let mut place = start;
            while !good[place] && self.ahead[place] as usize != place {
                way.push(place);
                let next = self.ahead[place];
                if next == NOWHERE || way.len() > self.states() {
                    self.fail(start, "no good way leads to rest");
                }
                place = next as usize;
            }
            good[place] = true;
            way.into_iter().for_each(|passed| good[passed] = true);
        }
    }

    fn expand(&mut self, number: u32, model: &ModelState, queue: &mut VecDeque<(u32, ModelState)>) {
        let mut steps = Vec::new();
        for action in self.config.actions(model) {
            let Some(step) = model.step(action, self.config) else {
                continue;
            };
            self.transitions += 1;
            if let Err(broken) = rules::check(model, &step, self.config) {
                self.parents.push((number, action));
                self.fail(self.states() - 1, &broken);
            }
            let next = step.after.canonical(self.config);
            steps.push((action, self.meet(next, (number, action), queue)));
        }
        let ahead = rest::good(model, number, &steps, self.config);
        self.ahead[number as usize] = ahead.unwrap_or(NOWHERE);
    }

    fn meet(
        &mut self,
        model: ModelState,
        from: (u32, ModelAction),
        queue: &mut VecDeque<(u32, ModelState)>,
    ) -> u32 {
        let code: Rc<[u8]> = model.code().into();
        let next = u32::try_from(self.parents.len()).expect("fewer than four billion states");
        let number = *self.known.entry(code).or_insert(next);
        if number == next {
            self.parents.push(from);
            self.ahead.push(NOWHERE);
            queue.push_back((number, model));
        }
        number
    }

    /// Fails with the way from a new deployment to the state.
    fn fail(&self, place: usize, broken: &str) -> ! {
        let mut actions = Vec::new();
        let mut place = place;
        while self.parents[place].0 != NOWHERE {
            actions.push(self.parents[place].1);
            place = self.parents[place].0 as usize;
        }
        let mut model = ModelState::new(self.config).canonical(self.config);
        let mut way = format!("{model}");
        for action in actions.into_iter().rev() {
            let step = model.step(action, self.config).expect("it was taken");
            write!(way, "\n{action:?}\n    {}", step.after).expect("a string takes all");
            model = step.after.canonical(self.config);
        }
        let Self { config, .. } = self;
        let (states, name) = (self.states(), config.name);
        panic!("{name}: {broken}, after {states} states:\n{way}\n");
    }
}
