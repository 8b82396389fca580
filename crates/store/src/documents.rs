//! Persisted documents: the JSON in the database, by names of its own.
//!
//! The names of the fields and variants in this module *are* the names on disk. A
//! type of the domain is renamed or reshaped freely; its document here stays as it
//! is, and only the conversions between the two change. The files in `golden/` hold
//! each document in each of its shapes, and tests compare what is written with
//! them, byte by byte.
//!
//! A new field is left out while it has its default (`default` and
//! `skip_serializing_if`), so that documents of earlier programs are read and
//! those of today stay short.

mod availability;
mod blocker;
mod deployment;
mod endpoint;
mod field_change;
mod last_rollout;
mod open_entries;
mod policy;
mod protocol;
mod reply;
mod revision;
mod rollout;
mod served;
mod state;
mod status;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use viridian_strategy::Timestamp;

pub(crate) use self::{
    reply::{Reply, deployment_of_reply, deployments_of_reply},
    rollout::{RolloutDocument, StopwatchDocument},
};

/// A value that is kept as JSON.
pub(crate) trait Persisted: Sized {
    /// The value as it is written. It borrows what it can.
    type Written<'a>: Serialize + From<&'a Self>
    where
        Self: 'a;

    /// The value as it is read.
    type Read: DeserializeOwned + Into<Self>;
}

/// Names the document of a type.
macro_rules! persisted {
    ($type:ty => $document:ident<'_>) => {
        impl $crate::documents::Persisted for $type {
            type Written<'a> = $document<'a>;
            type Read = $document<'static>;
        }
    };
    ($type:ty => $document:ident) => {
        impl $crate::documents::Persisted for $type {
            type Written<'a> = $document;
            type Read = $document;
        }
    };
}
use persisted;

/// Labels are their own document: an object of strings.
impl Persisted for BTreeMap<String, String> {
    type Written<'a> = &'a Self;
    type Read = Self;
}

/// A point in time: microseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
struct Micros(i64);

impl From<Timestamp> for Micros {
    fn from(time: Timestamp) -> Self {
        Self(time.as_micros())
    }
}

impl From<Micros> for Timestamp {
    fn from(Micros(micros): Micros) -> Self {
        Self::from_micros(micros)
    }
}
