//! Who calls, why, and under which conditions.

use crate::record::Request;

/// The actor of what happens without a call.
pub const COORDINATOR: &str = "coordinator";

/// What every call of a unit of work brings.
#[derive(Clone, Debug, Default)]
pub struct RequestContext {
    /// The name in the credentials.
    pub actor: String,
    /// The reason, for the history.
    pub reason: String,
    /// By which a repeat of the call is recognised.
    pub request: Option<Request>,
    /// The call is refused if the deployment has another generation.
    pub expected_generation: Option<i64>,
}

impl RequestContext {
    /// Returns the coordinator's, with the reason for what it does.
    pub(crate) fn coordinator(reason: String) -> Self {
        Self {
            actor: COORDINATOR.into(),
            reason,
            ..Self::default()
        }
    }
}
