//! A request: a call that may be repeated.

use uuid::Uuid;

/// What makes two requests the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The id that the caller chose.
    pub id: RequestId,
    /// The method that was called.
    pub method: &'static str,
    /// A digest of its body.
    pub fingerprint: Vec<u8>,
}

/// The id of a request, as callers choose it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct RequestId(pub Uuid);
