//! The cases of a test that runs on both engines.

use rstest_reuse::template;

/// `#[apply(both_engines)]`: a case on SQLite, and a case on PostgreSQL.
#[template]
#[rstest]
#[case::sqlite(crate::harness::Engine::Sqlite)]
#[case::postgres(crate::harness::Engine::Postgres)]
pub(crate) fn both_engines(#[case] engine: Engine) {}
