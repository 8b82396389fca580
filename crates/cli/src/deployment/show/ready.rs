//! How many replicas are ready.

use viridian_proto::v1::ReplicaCounts;

/// `2/3`: ready replicas of the target.
pub(crate) fn ready(counts: Option<&ReplicaCounts>, target: i32) -> String {
    format!("{}/{target}", counts.map_or(0, |it| it.ready))
}
