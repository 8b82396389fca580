//! That the invariants hold: the queries that `viridian check` asks.

use super::fixture::Fixture;
use crate::check;

/// Panics when an invariant is broken anywhere in the database.
pub(super) async fn hold(fixture: &Fixture) {
    let check = check(&fixture.url, None).await.expect("it can be checked");
    assert_eq!(check.violations, []);
}
