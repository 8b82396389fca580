//! The record on both engines, one database a test.

mod broken;
mod calls;
mod chance;
mod check;
mod fixture;
mod groups;
mod invariants;
mod lifecycle;
mod promote;
mod prune;
mod races;
mod repeats;
mod reports;
