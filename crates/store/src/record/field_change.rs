//! A setting that changed.

/// A setting that changed, by its path in the contract. The values are texts for people;
/// an empty one stands for none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// Where the setting stands: `policy.blue_green.min_ready`.
    pub path: String,
    /// Its value before.
    pub old_value: String,
    /// Its value after.
    pub new_value: String,
}
