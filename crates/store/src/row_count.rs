//! The number of rows that a statement has to change.

use crate::error::StoreError;

/// Asserts how many rows a statement changed.
pub(crate) fn expect_rows(
    what: &'static str,
    expected: usize,
    found: usize,
) -> Result<(), StoreError> {
    if expected == found {
        Ok(())
    } else {
        Err(StoreError::Conflict {
            what,
            expected,
            found,
        })
    }
}
