//! What came up in all lives together: a simulation in which nothing happens
//! proves nothing.

use std::fmt;

use diesel::{
    QueryableByName,
    sql_types::{BigInt, Text},
};

use viridian_engine::load;

use super::generators::counts::OccurrenceCounts;
use crate::tests::fixture::Fixture;

#[derive(Default)]
pub(super) struct SimulationCoverage {
    counts: OccurrenceCounts<String>,
}

impl SimulationCoverage {
    pub(super) fn count(&mut self, what: &str) {
        self.add(what, 1);
    }

    pub(super) fn require(&self, expected: &[&'static str]) {
        self.counts.require(expected.iter().copied());
    }

    /// Counts what history has.
    pub(super) async fn record(&mut self, fixture: &Fixture) {
        let mut reader = fixture.db.reader().await.expect("a reader");
        let moves = diesel::sql_query(MOVES);
        let moves: Vec<TransitionCount> =
            load!(&mut reader, moves.clone()).expect("history is read");
        for TransitionCount { what, n } in moves {
            self.add(&what, n.cast_unsigned());
        }
    }

    fn add(&mut self, what: &str, times: u64) {
        self.counts.add(what.to_owned(), times);
    }
}

impl fmt::Display for SimulationCoverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.counts.fmt(f)
    }
}

#[derive(QueryableByName)]
struct TransitionCount {
    #[diesel(sql_type = Text)]
    what: String,
    #[diesel(sql_type = BigInt)]
    n: i64,
}

/// By what is done, who does it, and where it ends.
const MOVES: &str = "SELECT phase || ' by ' || CASE actor WHEN 'coordinator' THEN 'itself' \
    ELSE 'a call' END || ' to ' || to_lifecycle || COALESCE(' ' || to_sub_step, '') AS what, \
    COUNT(*) AS n FROM history GROUP BY 1";
