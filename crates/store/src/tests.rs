//! The record on both engines, one database a test.

mod broken;
mod calls;
mod chance;
mod check;
mod copy;
mod cut;
mod cutter;
mod cycles;
mod faults;
mod fixture;
mod groups;
mod guards;
mod held;
mod invariants;
mod kill;
mod lifecycle;
mod limits;
mod migrations;
mod projects;
mod promote;
mod prune;
mod races;
mod repeats;
mod reports;
mod schema;
mod tls;
