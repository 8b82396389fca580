//! The replies that are stored for request ids.

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use viridian_strategy::{DeploymentId, RouteId};

use super::{
    Persisted, deployment::DeploymentDocument, field_change::ChangesDocument, persisted,
    revision::RevisionDocument,
};
use crate::record::{
    Applied, CommitId, NewRevision, Promotion, RolledBack, SwitchedMember, SwitchedSet, Updated,
};

/// What a unit of work gives, and what a repeat of its request gets.
///
/// Each has the deployment under the key `deployment`; that of a set has one in each of its
/// `members`.
pub(crate) trait Reply: Persisted + Send + 'static {
    /// Returns the project whose request id it answers.
    fn project(&self) -> &str;
}

macro_rules! reply {
    ($($reply:ty),+) => {
        $(impl Reply for $reply {
            fn project(&self) -> &str {
                &self.deployment.project
            }
        })+
    };
}

reply!(Updated, Applied, Promotion, NewRevision, RolledBack);

impl Reply for SwitchedSet {
    fn project(&self) -> &str {
        // One of them, and the same whatever their order: so a request id that comes with the
        // members in another order is found to be used.
        let projects = self.members.iter();
        let projects = projects.map(|member| member.deployment.project.as_str());
        projects.min().unwrap_or_default()
    }
}

persisted!(SwitchedSet => SwitchedSetDocument<'_>);
persisted!(Updated => UpdatedDocument<'_>);
persisted!(Applied => AppliedDocument<'_>);
persisted!(Promotion => PromotionDocument<'_>);
persisted!(NewRevision => NewRevisionDocument<'_>);
persisted!(RolledBack => RolledBackDocument<'_>);

/// Reads only the deployment's id from a stored reply. That to a set has none.
pub(crate) fn deployment_of_reply(text: &str) -> serde_json::Result<Option<DeploymentId>> {
    let reply: AnyReply = serde_json::from_str(text)?;
    Ok(reply.deployment.map(|it| DeploymentId(it.id)))
}

/// Reads only the ids of the deployments from a stored reply to a set.
pub(crate) fn deployments_of_reply(text: &str) -> serde_json::Result<Option<Vec<DeploymentId>>> {
    let reply: AnyReply = serde_json::from_str(text)?;
    let id = |member: AnyMember| DeploymentId(member.deployment.id);
    let members = reply.members;
    Ok(members.map(|members| members.into_iter().map(id).collect()))
}

/// What every reply has.
#[derive(Deserialize)]
struct AnyReply {
    deployment: Option<AnyDeployment>,
    members: Option<Vec<AnyMember>>,
}

#[derive(Deserialize)]
struct AnyMember {
    deployment: AnyDeployment,
}

#[derive(Deserialize)]
struct AnyDeployment {
    id: Uuid,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct SwitchedSetDocument<'a> {
    commit: Uuid,
    members: Vec<SwitchedMemberDocument<'a>>,
}

#[derive(Serialize, Deserialize)]
struct SwitchedMemberDocument<'a> {
    deployment: DeploymentDocument<'a>,
    promoted: Vec<Uuid>,
    drained: Vec<Uuid>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct UpdatedDocument<'a> {
    deployment: DeploymentDocument<'a>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct AppliedDocument<'a> {
    deployment: DeploymentDocument<'a>,
    #[serde(default, skip_serializing_if = "ChangesDocument::is_empty")]
    changes: ChangesDocument<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    revision: Option<RevisionDocument<'a>>,
    #[serde(default, skip_serializing_if = "is_false")]
    created: bool,
    // Earlier programs stored a new revision without it.
    #[serde(default = "is_true")]
    activated: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    aborted: bool,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PromotionDocument<'a> {
    swapped: u32,
    deployment: DeploymentDocument<'a>,
    promoted: Vec<Uuid>,
    drained: Vec<Uuid>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct NewRevisionDocument<'a> {
    deployment: DeploymentDocument<'a>,
    revision: RevisionDocument<'a>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct RolledBackDocument<'a> {
    deployment: DeploymentDocument<'a>,
    instant: bool,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    kept: Vec<Uuid>,
}

impl<'a> From<&'a Updated> for UpdatedDocument<'a> {
    fn from(Updated { deployment }: &'a Updated) -> Self {
        Self {
            deployment: deployment.into(),
        }
    }
}

impl From<UpdatedDocument<'_>> for Updated {
    fn from(document: UpdatedDocument<'_>) -> Self {
        Self {
            deployment: document.deployment.into(),
        }
    }
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_true() -> bool {
    true
}

impl<'a> From<&'a Applied> for AppliedDocument<'a> {
    fn from(applied: &'a Applied) -> Self {
        let Applied {
            deployment,
            changes,
            revision,
            created,
            activated,
            aborted,
        } = applied;
        Self {
            deployment: deployment.into(),
            changes: changes.into(),
            revision: revision.as_ref().map(Into::into),
            created: *created,
            activated: *activated,
            aborted: *aborted,
        }
    }
}

impl From<AppliedDocument<'_>> for Applied {
    fn from(document: AppliedDocument<'_>) -> Self {
        Self {
            deployment: document.deployment.into(),
            changes: document.changes.into(),
            revision: document.revision.map(Into::into),
            created: document.created,
            activated: document.activated,
            aborted: document.aborted,
        }
    }
}

impl<'a> From<&'a SwitchedSet> for SwitchedSetDocument<'a> {
    fn from(SwitchedSet { commit, members }: &'a SwitchedSet) -> Self {
        let member = |member: &'a SwitchedMember| SwitchedMemberDocument {
            deployment: (&member.deployment).into(),
            promoted: uuids(&member.promoted),
            drained: uuids(&member.drained),
        };
        Self {
            commit: commit.0,
            members: members.iter().map(member).collect(),
        }
    }
}

impl From<SwitchedSetDocument<'_>> for SwitchedSet {
    fn from(SwitchedSetDocument { commit, members }: SwitchedSetDocument<'_>) -> Self {
        let member = |member: SwitchedMemberDocument<'_>| SwitchedMember {
            deployment: member.deployment.into(),
            promoted: routes(member.promoted),
            drained: routes(member.drained),
        };
        Self {
            commit: CommitId(commit),
            members: members.into_iter().map(member).collect(),
        }
    }
}

fn uuids(ids: &[RouteId]) -> Vec<Uuid> {
    ids.iter().map(|RouteId(id)| *id).collect()
}

fn routes(ids: Vec<Uuid>) -> Vec<RouteId> {
    ids.into_iter().map(RouteId).collect()
}

impl<'a> From<&'a Promotion> for PromotionDocument<'a> {
    fn from(promotion: &'a Promotion) -> Self {
        let Promotion {
            swapped,
            deployment,
            promoted,
            drained,
        } = promotion;
        Self {
            swapped: *swapped,
            deployment: deployment.into(),
            promoted: uuids(promoted),
            drained: uuids(drained),
        }
    }
}

impl From<PromotionDocument<'_>> for Promotion {
    fn from(document: PromotionDocument<'_>) -> Self {
        Self {
            swapped: document.swapped,
            deployment: document.deployment.into(),
            promoted: routes(document.promoted),
            drained: routes(document.drained),
        }
    }
}

impl<'a> From<&'a NewRevision> for NewRevisionDocument<'a> {
    fn from(new: &'a NewRevision) -> Self {
        let NewRevision {
            deployment,
            revision,
        } = new;
        Self {
            deployment: deployment.into(),
            revision: revision.into(),
        }
    }
}

impl From<NewRevisionDocument<'_>> for NewRevision {
    fn from(document: NewRevisionDocument<'_>) -> Self {
        Self {
            deployment: document.deployment.into(),
            revision: document.revision.into(),
        }
    }
}

impl<'a> From<&'a RolledBack> for RolledBackDocument<'a> {
    fn from(rolled_back: &'a RolledBack) -> Self {
        let RolledBack {
            deployment,
            instant,
            kept,
        } = rolled_back;
        Self {
            deployment: deployment.into(),
            instant: *instant,
            kept: kept.iter().map(|RouteId(id)| *id).collect(),
        }
    }
}

impl From<RolledBackDocument<'_>> for RolledBack {
    fn from(document: RolledBackDocument<'_>) -> Self {
        Self {
            deployment: document.deployment.into(),
            instant: document.instant,
            kept: document.kept.into_iter().map(RouteId).collect(),
        }
    }
}
