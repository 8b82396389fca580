//! The projects that a query is about.

/// The projects that a query is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Projects {
    /// All projects.
    #[default]
    All,
    /// Only these. An empty list selects nothing.
    These(Vec<String>),
}

/// Whether counts are by project.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountBy {
    /// All projects together.
    All,
    /// Each project.
    Project,
}
