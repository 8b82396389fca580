//! The record on both engines, one database a test.

mod broken;
mod calls;
mod chance;
mod check;
mod cut;
mod cutter;
mod faults;
mod fixture;
mod groups;
mod held;
mod invariants;
mod kill;
mod lifecycle;
mod log;
mod promote;
mod prune;
mod races;
mod relay;
mod repeats;
mod reports;
