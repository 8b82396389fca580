//! How well a deployment serves.

use serde::{Deserialize, Serialize};
use viridian_strategy::Availability;

#[derive(Serialize, Deserialize)]
pub(super) enum AvailabilityDocument {
    Available,
    Degraded,
    Unavailable,
    Idle,
}

impl From<Availability> for AvailabilityDocument {
    fn from(availability: Availability) -> Self {
        match availability {
            Availability::Available => Self::Available,
            Availability::Degraded => Self::Degraded,
            Availability::Unavailable => Self::Unavailable,
            Availability::Idle => Self::Idle,
        }
    }
}

impl From<AvailabilityDocument> for Availability {
    fn from(document: AvailabilityDocument) -> Self {
        match document {
            AvailabilityDocument::Available => Self::Available,
            AvailabilityDocument::Degraded => Self::Degraded,
            AvailabilityDocument::Unavailable => Self::Unavailable,
            AvailabilityDocument::Idle => Self::Idle,
        }
    }
}
