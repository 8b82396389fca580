//! The projects that a question is about.

/// Which projects a question is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Projects {
    /// All there are.
    #[default]
    All,
    /// These and no others; none when there are none.
    These(Vec<String>),
}
