//! What the replicas of a deployment speak.

use serde::{Deserialize, Serialize};

use crate::record::Protocol;

#[derive(Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum ProtocolDocument {
    // What documents of earlier programs mean, which say nothing of it.
    #[default]
    Http1,
    Http2,
    Tcp,
}

impl ProtocolDocument {
    pub(super) fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl From<Protocol> for ProtocolDocument {
    fn from(protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1,
            Protocol::Http2 => Self::Http2,
            Protocol::Tcp => Self::Tcp,
        }
    }
}

impl From<ProtocolDocument> for Protocol {
    fn from(document: ProtocolDocument) -> Self {
        match document {
            ProtocolDocument::Http1 => Self::Http1,
            ProtocolDocument::Http2 => Self::Http2,
            ProtocolDocument::Tcp => Self::Tcp,
        }
    }
}
