//! The id of a unit of work on several deployments.

use uuid::Uuid;

/// The id of a unit of work that changed a set of deployments: all that it changed has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CommitId(pub Uuid);
