//! The decision, rule by rule, as a caller of the crate sees it. Each table
//! reads side by side with sections 1 and 2 of the design. `scripts/mutants`
//! demands that they notice every small change of the code, without the proofs:
//! [`cluster`], [`model`] and [`properties`].

mod abort;
mod activate;
mod case;
mod clocks;
mod cluster;
mod destroy;
mod drain;
mod gate;
mod health;
mod keep;
mod model;
mod moves;
mod pause;
mod policy;
mod promote;
mod properties;
mod random;
mod reason;
mod record;
mod replacements;
mod roll_back;
mod rolling;
mod scale;
mod serving;
mod steps;
mod timeline;
mod update;
