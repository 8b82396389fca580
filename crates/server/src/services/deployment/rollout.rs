//! Promote, advance, abort, roll back, pause and resume.

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{
    AdvanceOptions, RequestContext, RevisionReference, RollBackOptions, RollBackPreview, RolledBack,
};
use viridian_strategy::{DeploymentId, RevisionId, RouteId};

use crate::{
    convert::{
        Violations,
        deployment::{blocker, deployment},
        policy::parse_expected_step,
        reference::parse_optional_revision,
    },
    refusals::{IntoStatus as _, PauseRefusal, ResumeRefusal},
    scope::{Scope, mutation_fields},
};

/// `PromoteDeployment`.
pub(super) async fn promote(
    scope: &Scope,
    message: &v1::PromoteDeploymentRequest,
) -> Result<v1::PromoteDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let expected = ExpectedRevision::parse(&message.expected_revision, &mut violations);
    let call = scope.call(
        "PromoteDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let expected = expected.find(scope, &call, id, subject).await?;
    let database = scope.database();
    if message.validate_only {
        let preview = database.preview_promote(id, expected, &call).await;
        let preview = preview.map_err(|error| error.into_status(subject))?;
        return preview_reply(preview, subject);
    }
    let promoted = database.complete_manual_promote(id, expected, &call).await;
    let promoted = promoted.map_err(|error| error.into_status(subject))?;
    Ok(v1::PromoteDeploymentResponse {
        deployment: Some(deployment(promoted.deployment)),
        promoted_route_ids: texts(promoted.promoted),
        drained_route_ids: texts(promoted.drained),
        blockers: Vec::new(),
    })
}

/// `AdvanceDeployment`.
pub(super) async fn advance(
    scope: &Scope,
    message: &v1::AdvanceDeploymentRequest,
) -> Result<v1::AdvanceDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let expected = ExpectedRevision::parse(&message.expected_revision, &mut violations);
    let expected_step = parse_expected_step(message.expected_step, &mut violations);
    let call = scope.call(
        "AdvanceDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let expected = expected.find(scope, &call, id, subject).await?;
    let options = AdvanceOptions {
        expected_revision: expected,
        expected_step,
        to_last: message.to_last,
    };
    let advanced = scope.database().advance_deployment(id, options, &call);
    let advanced = advanced.await;
    let advanced = advanced.map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(advanced.deployment));
    Ok(v1::AdvanceDeploymentResponse { deployment })
}

/// `AbortDeployment`.
pub(super) async fn abort(
    scope: &Scope,
    message: &v1::AbortDeploymentRequest,
) -> Result<v1::AbortDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let expected = ExpectedRevision::parse(&message.expected_revision, &mut violations);
    let call = scope.call(
        "AbortDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let expected = expected.find(scope, &call, id, subject).await?;
    let aborted = scope.database().abort_deployment(id, expected, &call);
    let aborted = aborted.await;
    let aborted = aborted.map_err(|error| error.into_status(subject))?;
    let deployment = Some(deployment(aborted.deployment));
    Ok(v1::AbortDeploymentResponse { deployment })
}

/// `RollbackDeployment`.
pub(super) async fn roll_back(
    scope: &Scope,
    message: &v1::RollbackDeploymentRequest,
) -> Result<v1::RollbackDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let revision = parse_optional_revision("revision", &message.revision, &mut violations);
    let expected = ExpectedRevision::parse(&message.expected_revision, &mut violations);
    let call = scope.call(
        "RollbackDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let revision = scope
        .find_revision_for(&call, id, subject, revision)
        .await?;
    let expected = expected.find(scope, &call, id, subject).await?;
    let options = RollBackOptions {
        revision: revision.map(|revision| revision.id),
        expected_revision: expected,
        gated: message.gated,
    };
    let database = scope.database();
    if message.validate_only {
        let preview = database.preview_roll_back(id, options, &call).await;
        let preview = preview.map_err(|error| error.into_status(subject))?;
        return Ok(roll_back_preview(preview));
    }
    let rolled_back = database.roll_back_deployment(id, options, &call).await;
    let rolled_back = rolled_back.map_err(|error| error.into_status(subject))?;
    Ok(roll_back_reply(rolled_back))
}

/// `PauseDeployment`.
pub(super) async fn pause(
    scope: &Scope,
    message: &v1::PauseDeploymentRequest,
) -> Result<v1::PauseDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let call = scope.call(
        "PauseDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let paused = scope.database().pause_deployment(id, &call).await;
    let paused = paused.map_err(|error| error.map_refusal(PauseRefusal).into_status(subject))?;
    let deployment = Some(deployment(paused.deployment));
    Ok(v1::PauseDeploymentResponse { deployment })
}

/// `ResumeDeployment`.
pub(super) async fn resume(
    scope: &Scope,
    message: &v1::ResumeDeploymentRequest,
) -> Result<v1::ResumeDeploymentResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let call = scope.call(
        "ResumeDeployment",
        message,
        mutation_fields!(message),
        &mut violations,
    );
    let id = scope.resolve_for(&call, subject, violations).await?;
    let resumed = scope.database().resume_deployment(id, &call).await;
    let resumed = resumed.map_err(|error| error.map_refusal(ResumeRefusal).into_status(subject))?;
    let deployment = Some(deployment(resumed.deployment));
    Ok(v1::ResumeDeploymentResponse { deployment })
}

/// The revision that a call expects to find, if it names one.
struct ExpectedRevision(Option<RevisionReference>);

impl ExpectedRevision {
    fn parse(text: &str, violations: &mut Violations) -> Self {
        Self(parse_optional_revision(
            "expected_revision",
            text,
            violations,
        ))
    }

    /// Finds it. `subject` is what the caller called the deployment.
    async fn find(
        self,
        scope: &Scope,
        call: &RequestContext,
        deployment: DeploymentId,
        subject: &str,
    ) -> Result<Option<RevisionId>, Status> {
        let found = scope.find_revision_for(call, deployment, subject, self.0);
        Ok(found.await?.map(|revision| revision.id))
    }
}

/// With `validate_only` a blocker is an answer; every other refusal is an error
/// as without it.
fn preview_reply(
    preview: viridian_store::PromotionPreview,
    subject: &str,
) -> Result<v1::PromoteDeploymentResponse, Status> {
    use viridian_store::PromoteRefusal::Rules;
    use viridian_strategy::verbs::PromoteRejection::Blocked;
    let (promoted, drained, blockers) = match preview.outcome {
        Ok((promoted, drained)) => (promoted, drained, Vec::new()),
        Err(Rules(Blocked(blockers))) => (Vec::new(), Vec::new(), blockers),
        Err(refusal) => return Err(refusal.into_status(subject)),
    };
    let status = &preview.deployment.status;
    let blockers = blockers.iter().map(|it| blocker(status, it)).collect();
    Ok(v1::PromoteDeploymentResponse {
        deployment: Some(deployment(preview.deployment)),
        promoted_route_ids: texts(promoted),
        drained_route_ids: texts(drained),
        blockers,
    })
}

fn roll_back_reply(rolled_back: RolledBack) -> v1::RollbackDeploymentResponse {
    let deployment = deployment(rolled_back.deployment);
    let (revision_id, revision_number) = leads_to(&deployment);
    v1::RollbackDeploymentResponse {
        instant: rolled_back.instant,
        kept_route_ids: texts(rolled_back.kept),
        revision_id,
        revision_number,
        blockers: Vec::new(),
        deployment: Some(deployment),
    }
}

/// The revision that a deployment is on its way to, or that it has.
fn leads_to(deployment: &v1::Deployment) -> (String, i64) {
    let goes_back = deployment.sub_step() == v1::DeploymentSubStep::RollingBack;
    match deployment.deploying_revision_id.as_str() {
        _ if goes_back => (
            deployment.current_revision_id.clone(),
            deployment.current_revision_number,
        ),
        "" => (
            deployment.current_revision_id.clone(),
            deployment.current_revision_number,
        ),
        deploying => (deploying.to_owned(), deployment.deploying_revision_number),
    }
}

fn roll_back_preview(preview: RollBackPreview) -> v1::RollbackDeploymentResponse {
    // What the health checkers say now is not about the routes that it would wait for.
    let unexplained = viridian_store::Status::default();
    let blockers = preview.blockers.iter();
    let blockers = blockers.map(|it| blocker(&unexplained, it)).collect();
    v1::RollbackDeploymentResponse {
        deployment: Some(deployment(preview.deployment)),
        instant: preview.instant,
        kept_route_ids: texts(preview.kept),
        revision_id: preview.revision.to_string(),
        revision_number: preview.number,
        blockers,
    }
}

pub(super) fn texts(ids: Vec<RouteId>) -> Vec<String> {
    ids.iter().map(RouteId::to_string).collect()
}
