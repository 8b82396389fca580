//! The decision, rule by rule, as a caller of the crate sees it: the rows of the
//! tables in docs/strategies.md. `scripts/mutants` requires that they notice every
//! small change of the code without the proofs: [`cluster`], [`model`] and
//! [`properties`].

mod abort;
mod activate;
mod activations;
mod apply;
mod availability;
mod bounds;
mod canary;
mod case;
mod clocks;
mod cluster;
mod destroy;
mod drain;
mod ended;
mod evictions;
mod evidence;
mod first_deadline;
mod gate;
#[path = "../generators/mod.rs"]
mod generators;
mod hanging;
mod health;
mod lost;
mod model;
mod moves;
mod no_replicas;
mod pause;
mod policy;
mod promote;
mod properties;
mod random;
mod ready_threshold;
mod reason;
mod record;
mod replace;
mod replacements;
mod replenish;
mod roll_back;
mod rolling;
mod rolling_bounds;
mod scale;
mod serves;
mod serving;
mod steps;
mod timeline;
mod update;
mod way_back;
