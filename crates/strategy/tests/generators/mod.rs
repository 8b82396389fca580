//! Random input for the two simulations: of the decision (`decision/cluster`) and of the
//! store with its coordinator (`crates/store/src/tests/simulation`). Each includes this
//! module by its path and sets its own ranges of time.

pub(crate) mod behavior;
pub(crate) mod counts;
pub(crate) mod policies;
pub(crate) mod rng;
