//! The fields that every mutating request has.

use prost::Message;
use sha2::{Digest as _, Sha256};
use viridian_store::{Request, RequestContext, RequestId};

use crate::convert::Violations;

/// The fields that every mutating request has.
pub(crate) struct MutationFields<'a> {
    pub(crate) request_id: &'a str,
    pub(crate) expected_generation: Option<i64>,
    pub(crate) reason: &'a str,
}

impl MutationFields<'_> {
    /// Parses them, as those of a message that an actor sent.
    pub(crate) fn parse(
        &self,
        actor: &str,
        method: &'static str,
        message: &impl Message,
        violations: &mut Violations,
    ) -> RequestContext {
        let request = (!self.request_id.is_empty()).then(|| Request {
            id: RequestId(violations.uuid("request_id", self.request_id)),
            method,
            // Encoded again: maps are sorted then, so that a repeat has the
            // same bytes in whatever order the client writes them.
            fingerprint: Sha256::digest(message.encode_to_vec()).to_vec(),
        });
        violations.text("reason", self.reason, MAX_REASON);
        RequestContext {
            actor: actor.to_owned(),
            reason: self.reason.to_owned(),
            request,
            expected_generation: self.expected_generation,
        }
    }
}

/// Takes them from a request. They have the same names in all requests.
macro_rules! mutation_fields {
    ($message:expr) => {
        &$crate::scope::MutationFields {
            request_id: &$message.request_id,
            expected_generation: $message.expected_generation,
            reason: &$message.reason,
        }
    };
}

pub(crate) use mutation_fields;

const MAX_REASON: usize = 4_096;
