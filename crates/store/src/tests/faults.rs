//! A fault at every statement: each unit of work on each engine is run once
//! unharmed, which counts its points, and then once for each point and fault.
//! Whatever the fault, either all of it is done or nothing, and nothing is left
//! open: no transaction, no connection, no lock.

mod record;
mod scenes;
mod stage;
mod units;

use std::sync::Arc;

use futures::{FutureExt as _, StreamExt as _, stream};
use rstest_reuse::apply;

use self::{
    stage::{ExecutionMode, UnharmedRun, UnitUnderTest},
    units::Unit,
};
use super::fixture::{Engine, engines};
use viridian_engine::fail_points::{Fault, Side};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_at_every_statement(#[case] engine: Engine) {
    let alone = Unit::ALL.map(|unit| (unit, ExecutionMode::Alone));
    let shared = Unit::ALL.into_iter().filter(|unit| unit.shares());
    let shared = shared.map(|unit| (unit, ExecutionMode::Shared));
    let total = stream::iter(alone.into_iter().chain(shared))
        .map(|(unit, way)| inject_all(engine, unit, way).boxed())
        .buffered(MAX_CONCURRENT_UNITS)
        .fold(0, async |total, faults| total + faults)
        .await;
    tell(&format!("{engine:?}: {total} faults in all"));
    assert!(total >= Unit::ALL.len() * MIN_FAULTS);
}

async fn inject_all(engine: Engine, unit: Unit, way: ExecutionMode) -> usize {
    let stage = Arc::new(UnitUnderTest::set(engine, unit, way).await);
    let course = stage.run_unharmed().await;
    let mut faults = 0;
    for (at, fault) in injections(&course) {
        stage.inject(&course, at, fault).await;
        faults += 1;
    }
    stage.hands_out_every_connection().await;
    let points = course.points.len();
    tell(&format!(
        "{engine:?} {unit:?} {way:?}: {points} points, {faults} faults"
    ));
    assert!(
        faults >= MIN_FAULTS,
        "{unit:?} {way:?} has {faults} faults only"
    );
    faults
}

/// Every fault at every point. Where a statement is sent, all that can happen is
/// that the caller goes away.
fn injections(course: &UnharmedRun) -> impl Iterator<Item = (usize, Fault)> {
    course.points.iter().enumerate().flat_map(|(at, point)| {
        match point.side {
            Side::Sent => &[Fault::Gone][..],
            Side::Before | Side::Behind => &[Fault::Error, Fault::Panic, Fault::Gone],
        }
        .iter()
        .map(move |&fault| (at, fault))
    })
}

#[expect(clippy::print_stdout, reason = "what was covered is told")]
fn tell(what: &str) {
    println!("{what}");
}

/// Those of a unit that has two trips to PostgreSQL: one to look, and one that
/// writes and commits.
const MIN_FAULTS: usize = 14;

/// How many units at once: what waits for the database leaves a core free.
const MAX_CONCURRENT_UNITS: usize = 2;
