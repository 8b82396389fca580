//! Promote and roll back several deployments at once.

use std::collections::HashMap;

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{
    MAX_SET_MEMBERS, MemberPreview, PromoteMember, RequestContext, RevisionReference,
    RollBackMember, SwitchedSet,
};
use viridian_strategy::DeploymentId;

use super::rollout::texts;
use crate::{
    convert::{
        Violations,
        deployment::{blocker, deployment},
        reference::{parse_deployment, parse_optional_revision},
    },
    scope::{NamedMember, Scope, mutation_fields},
    set_refusals::{set_refused, too_many_members},
};

/// `PromoteDeployments`.
pub(super) async fn promote(
    scope: &Scope,
    message: &v1::PromoteDeploymentsRequest,
) -> Result<v1::PromoteDeploymentsResponse, Status> {
    let names: Vec<_> = message
        .members
        .iter()
        .map(|it| it.deployment.as_str())
        .collect();
    let mut set = ParsedSet::parse(&names)?;
    let expected = message
        .members
        .iter()
        .map(|it| it.expected_revision.as_str());
    let expected = set.revisions("expected_revision", expected);
    set.refuse_generation(message.expected_generation);
    let method = "PromoteDeployments";
    let fields = mutation_fields!(message);
    let call = scope.call(method, message, fields, &mut set.violations);
    let ids = set.resolve(scope, &call).await?;
    let expected = find_revisions(scope, &ids, &names, expected).await?;
    let members = message.members.iter().zip(&ids).zip(expected);
    let members = members.map(|((member, id), expected_revision)| PromoteMember {
        deployment: *id,
        expected_revision,
        expected_generation: member.expected_generation,
    });
    let members: Vec<_> = members.collect();
    if message.validate_only {
        let previews = scope.database().preview_promote_set(&members).await;
        let previews = previews.map_err(|error| set_refused(error, &names))?;
        return Ok(v1::PromoteDeploymentsResponse {
            members: previews.into_iter().map(previewed).collect(),
            commit_id: String::new(),
        });
    }
    let promoted = scope.database().promote_deployments(&members, &call).await;
    let promoted = promoted.map_err(|error| set_refused(error, &names))?;
    Ok(v1::PromoteDeploymentsResponse {
        commit_id: promoted.commit.0.to_string(),
        members: switched(promoted),
    })
}

/// `RollbackDeployments`.
pub(super) async fn roll_back(
    scope: &Scope,
    message: &v1::RollbackDeploymentsRequest,
) -> Result<v1::RollbackDeploymentsResponse, Status> {
    let names: Vec<_> = message
        .members
        .iter()
        .map(|it| it.deployment.as_str())
        .collect();
    let mut set = ParsedSet::parse(&names)?;
    let revisions = message.members.iter().map(|it| it.revision.as_str());
    let revisions = set.revisions("revision", revisions);
    let expected = message
        .members
        .iter()
        .map(|it| it.expected_revision.as_str());
    let expected = set.revisions("expected_revision", expected);
    set.refuse_generation(message.expected_generation);
    let method = "RollbackDeployments";
    let fields = mutation_fields!(message);
    let call = scope.call(method, message, fields, &mut set.violations);
    let ids = set.resolve(scope, &call).await?;
    let revisions = find_revisions(scope, &ids, &names, revisions).await?;
    let expected = find_revisions(scope, &ids, &names, expected).await?;
    let members = message
        .members
        .iter()
        .zip(&ids)
        .zip(revisions)
        .zip(expected);
    let members = members.map(
        |(((member, id), revision), expected_revision)| RollBackMember {
            deployment: *id,
            revision,
            expected_revision,
            expected_generation: member.expected_generation,
        },
    );
    let members: Vec<_> = members.collect();
    if message.validate_only {
        let previews = scope.database().preview_roll_back_set(&members).await;
        let previews = previews.map_err(|error| set_refused(error, &names))?;
        return Ok(v1::RollbackDeploymentsResponse {
            members: previews.into_iter().map(previewed).collect(),
            commit_id: String::new(),
        });
    }
    let went_back = scope.database().roll_back_deployments(&members, &call);
    let went_back = went_back.await;
    let went_back = went_back.map_err(|error| set_refused(error, &names))?;
    Ok(v1::RollbackDeploymentsResponse {
        commit_id: went_back.commit.0.to_string(),
        members: switched(went_back),
    })
}

/// The members of a request, and what is wrong with it so far.
struct ParsedSet<'a> {
    members: Vec<NamedMember<'a>>,
    violations: Violations,
}

impl<'a> ParsedSet<'a> {
    fn parse(names: &[&'a str]) -> Result<Self, Status> {
        // Before any of them is looked at: there may be very many.
        if names.len() > MAX_SET_MEMBERS {
            return Err(too_many_members(names.len()));
        }
        let mut violations = Violations::default();
        let bounds = format_args!("must be 2 to {MAX_SET_MEMBERS}");
        violations.check(names.len() >= 2, "members", bounds);
        let members = names.iter().enumerate().filter_map(|(index, text)| {
            let field = format!("members[{index}].deployment");
            let reference = parse_deployment(&field, text, &mut violations)?;
            Some(NamedMember { text, reference })
        });
        Ok(Self {
            members: members.collect(),
            violations,
        })
    }

    fn revisions<'b>(
        &mut self,
        field: &str,
        texts: impl Iterator<Item = &'b str>,
    ) -> Vec<Option<RevisionReference>> {
        let texts = texts.enumerate();
        let revisions = texts.map(|(index, text)| {
            let field = format!("members[{index}].{field}");
            parse_optional_revision(&field, text, &mut self.violations)
        });
        revisions.collect()
    }

    fn refuse_generation(&mut self, expected: Option<i64>) {
        let why = "concerns one deployment: set it in each of the members";
        self.violations
            .check(expected.is_none(), "expected_generation", why);
    }

    /// Finds the deployments. None may be there twice, by whatever names.
    async fn resolve(
        self,
        scope: &Scope,
        call: &RequestContext,
    ) -> Result<Vec<DeploymentId>, Status> {
        self.violations.finish()?;
        let ids = scope.resolve_set(call, &self.members).await?;
        let mut violations = Violations::default();
        let mut places = HashMap::new();
        for (index, id) in ids.iter().enumerate() {
            let first = *places.entry(*id).or_insert(index);
            let field = format!("members[{index}].deployment");
            let again = format_args!("is the same deployment as members[{first}]");
            violations.check(first == index, &field, again);
        }
        violations.finish()?;
        Ok(ids)
    }
}

async fn find_revisions(
    scope: &Scope,
    ids: &[DeploymentId],
    names: &[&str],
    references: Vec<Option<RevisionReference>>,
) -> Result<Vec<Option<viridian_strategy::RevisionId>>, Status> {
    // Most calls name none, and need no connection for it.
    if references.iter().all(Option::is_none) {
        return Ok(vec![None; references.len()]);
    }
    let members = ids.iter().zip(names).zip(references);
    let members = members.map(|((id, name), reference)| (*id, *name, reference));
    let members: Vec<_> = members.collect();
    scope.find_set_revisions(&members).await
}

fn switched(set: SwitchedSet) -> Vec<v1::SwitchedDeployment> {
    let members = set.members.into_iter();
    let members = members.map(|member| v1::SwitchedDeployment {
        deployment: Some(deployment(member.deployment)),
        promoted_route_ids: texts(member.promoted),
        drained_route_ids: texts(member.drained),
        blockers: Vec::new(),
    });
    members.collect()
}

fn previewed(preview: MemberPreview) -> v1::SwitchedDeployment {
    let status = &preview.deployment.status;
    let blockers = preview.blockers.iter().map(|it| blocker(status, it));
    v1::SwitchedDeployment {
        blockers: blockers.collect(),
        deployment: Some(deployment(preview.deployment)),
        promoted_route_ids: texts(preview.promoted),
        drained_route_ids: texts(preview.drained),
    }
}
