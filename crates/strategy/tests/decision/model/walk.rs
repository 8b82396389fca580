//! The canonical form is put to the proof: long lives that are never brought
//! into it must stay within what the search has found, and every decision on
//! the way must be the one that their canonical form leads to.

use viridian_strategy::{BlockerCode, Evaluation, TransitionKind};

use super::{
    config::ModelConfig,
    search::StateSearch,
    state::{ModelAction, ModelState},
};

const STEPS: usize = 80;

/// Walks from a new deployment, by chance, but the same at every run. Gives the
/// number of decisions compared.
pub(super) fn walk(search: &StateSearch, walks: u64) -> usize {
    let config = search.config;
    let mut rng = WalkRng(20_26);
    let mut compared = 0;
    for _ in 0..walks {
        let mut model = ModelState::new(config);
        for _ in 0..STEPS {
            let canonical = model.canonical(config);
            assert!(
                search.knows(&canonical),
                "{}: not met: {model}",
                config.name
            );
            let (one, other) = (decided(&model, config), decided(&canonical, config));
            assert!(
                one == other,
                "{}: the canonical form decides otherwise:\n{model}\n{canonical}\n{one:?}\n{other:?}",
                config.name
            );
            compared += 1;
            let actions = config.actions(&model);
            if let Some(step) = model.step(rng.pick(&actions), config) {
                model = step.after;
            }
        }
    }
    compared
}

/// A decision without names, by what it leads to, and when the next is due.
fn decided(
    model: &ModelState,
    config: &ModelConfig,
) -> (Box<[u8]>, TransitionKind, Vec<BlockerCode>, u64) {
    let step = model.step(ModelAction::Evaluate, config);
    let step = step.expect("an evaluation is never refused");
    let Evaluation {
        transition,
        blockers,
        wake_at,
        ..
    } = step.evaluation.expect("it was evaluated");
    let wait = wake_at.map_or(u64::MAX, |at| at.since(model.now).as_secs());
    // What is never over is as far away in one as in the other, or nearly.
    let wait = wait.min(1_000);
    let codes = blockers.iter().map(viridian_strategy::Blocker::code);
    let code = step.after.canonical(config).code();
    (code, transition.kind, codes.collect(), wait)
}

/// A few numbers that look like rng.
struct WalkRng(u64);

impl WalkRng {
    fn next(&mut self, below: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        ((self.0 >> 33) % below as u64) as usize
    }

    /// One in two is a cycle or a tick; an end is rare.
    fn pick(&mut self, actions: &[ModelAction]) -> ModelAction {
        if self.next(2) == 0 {
            return actions[self.next(2)];
        }
        match actions[self.next(actions.len())] {
            ModelAction::Delete if self.next(8) > 0 => ModelAction::Evaluate,
            action => action,
        }
    }
}
