//! What the units of work refuse, as statuses: a conversion for each call.

use tonic::{Code, Status};
use tonic_types::{FieldViolation, PreconditionViolation, StatusExt as _};
use viridian_store::{
    AbortRefusal, ActivateRefusal, AdvanceRefusal, ApplyRefusal, CreateRefusal, NamedRevision,
    PromoteRefusal, RollBackRefusal, UnitError, UpdateRefusal,
};
use viridian_strategy::{
    Blocker, Lifecycle, MAX_REPLICAS, RevisionId,
    verbs::{
        AbortRejection, ActivateRejection, AdvanceRejection, DeleteRejection, DrainRejection,
        PauseRejection, PromoteRejection, RestartRejection, UpdateRejection,
    },
};

use crate::{
    convert::{MergeConflict, policy::violation, update::SpecConflict},
    error::{ResourceKind, aborted, bad_request, info, not_found, precondition, store},
};

/// Converts a refusal of a unit of work into a status. `subject` is what the caller named.
pub(crate) trait IntoStatus {
    fn into_status(self, subject: &str) -> Status;
}

/// Why a pause was refused.
pub(crate) struct PauseRefusal(pub(crate) PauseRejection);

/// Why a resume was refused.
pub(crate) struct ResumeRefusal(pub(crate) PauseRejection);

impl<R: IntoStatus> IntoStatus for UnitError<R> {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::NoDeployment(_) => not_found(ResourceKind::Deployment, subject),
            Self::Generation { expected, actual } => aborted(
                "GENERATION_MISMATCH",
                format!("the deployment has generation {actual}, not {expected}"),
                [
                    ("expected_generation", expected.to_string()),
                    ("generation", actual.to_string()),
                ],
            ),
            Self::RequestIdReused => request_id_reused(),
            Self::Refused(refusal) => refusal.into_status(subject),
            Self::Store(error) => store(&error),
        }
    }
}

impl IntoStatus for CreateRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::NameTaken => {
                let message = format!("there is a deployment {subject} already");
                let mut details = info("NAME_TAKEN", []);
                details.set_resource_info("viridian.Deployment", subject, "", message.clone());
                Status::with_error_details(Code::AlreadyExists, message, details)
            }
        }
    }
}

impl IntoStatus for UpdateRefusal<SpecConflict> {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Rules(UpdateRejection::TooManyReplicas) => {
                let description = format!("must be 0 to {MAX_REPLICAS}");
                bad_request(vec![FieldViolation::new("target_replicas", description)])
            }
            Self::Rules(UpdateRejection::Policy(errors)) => {
                let violations = errors.iter().map(violation);
                bad_request(
                    violations
                        .map(|(field, description)| FieldViolation::new(field, description))
                        .collect(),
                )
            }
            Self::Rules(UpdateRejection::StrategyInUse) => precondition(
                "STRATEGY_IN_USE",
                "a rollout goes by the present strategy: promote it or abort it first",
                subject,
            ),
            Self::Rules(UpdateRejection::Gone(lifecycle)) => gone(lifecycle, subject),
            Self::Spec(SpecConflict::Invalid(violations)) => violations.into_status(),
            Self::Spec(SpecConflict::Merge(MergeConflict::OtherMember)) => precondition(
                "STRATEGY_MISMATCH",
                "the policy has the other strategy; to change it, name the new one as a whole \
                 in the mask",
                subject,
            ),
            Self::Spec(SpecConflict::Merge(MergeConflict::MissingParent)) => precondition(
                "NO_GATE_TIMEOUT",
                "the policy has no gate timeout; to set one, name \
                 policy.blue_green.gate_timeout as a whole in the mask",
                subject,
            ),
        }
    }
}

impl IntoStatus for ApplyRefusal<SpecConflict> {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Update(refusal) => refusal.into_status(subject),
            Self::Activate(rejection) => not_activated(rejection, SUPERSEDE, subject),
            Self::InProgress(deploying) => in_progress(deploying, SUPERSEDE),
            Self::Missing => not_found(ResourceKind::Deployment, subject),
        }
    }
}

impl IntoStatus for DeleteRejection {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Gone(lifecycle) => gone(lifecycle, subject),
        }
    }
}

impl IntoStatus for ActivateRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::NoRevision(id) => not_found(ResourceKind::Revision, &id.to_string()),
            Self::Rules(rejection) => not_activated(rejection, SUPERSEDE, subject),
            Self::InProgress(deploying) => in_progress(deploying, SUPERSEDE),
        }
    }
}

impl IntoStatus for PromoteRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Revision { expected, actual } => deploys_another(expected, actual),
            Self::Rules(PromoteRejection::NotDeploying(lifecycle)) => {
                not_deploying(lifecycle, subject)
            }
            Self::Rules(PromoteRejection::RollingBack) => rolling_back(subject),
            Self::Rules(PromoteRejection::NotBlueGreen) => precondition(
                "NOT_BLUE_GREEN",
                "a rolling update has no gate: it goes on by itself",
                subject,
            ),
            Self::Rules(PromoteRejection::Blocked(blockers)) => blocked(&blockers, subject),
        }
    }
}

impl IntoStatus for AdvanceRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Revision { expected, actual } => deploys_another(expected, Some(actual)),
            Self::Step { expected, actual } => aborted(
                "STEP_MISMATCH",
                format!("the canary is at step {actual}, not {expected}"),
                [
                    ("expected_step", expected.to_string()),
                    ("step", actual.to_string()),
                ],
            ),
            Self::Rules(AdvanceRejection::NotDeploying(lifecycle)) => {
                not_deploying(lifecycle, subject)
            }
            Self::Rules(AdvanceRejection::RollingBack) => rolling_back(subject),
            Self::Rules(AdvanceRejection::NotCanary) => precondition(
                "NOT_CANARY",
                "only a canary has steps; a blue-green rollout is promoted",
                subject,
            ),
            Self::Rules(AdvanceRejection::NotHolding) => precondition(
                "STEP_NOT_HELD",
                "no step is held: the routes of the next one are coming up, or all steps are over",
                subject,
            ),
            Self::Rules(AdvanceRejection::Paused) => paused(subject),
        }
    }
}

impl IntoStatus for AbortRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Revision { expected, actual } => deploys_another(expected, Some(actual)),
            Self::Rules(AbortRejection::NotDeploying(lifecycle)) => {
                not_deploying(lifecycle, subject)
            }
            Self::Rules(AbortRejection::RollingBack) => rolling_back(subject),
        }
    }
}

impl IntoStatus for RollBackRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::NoRevision(id) => not_found(ResourceKind::Revision, &id.to_string()),
            Self::GiveUp(AbortRejection::RollingBack) => rolling_back(subject),
            Self::GiveUp(AbortRejection::NotDeploying(lifecycle)) => {
                not_deploying(lifecycle, subject)
            }
            Self::NotInstant => precondition(
                "ROLLBACK_NOT_INSTANT",
                "too few of its routes are retained, or it goes back step by step: roll it back \
                 by itself",
                subject,
            ),
            Self::NoPrevious => precondition(
                "NO_PREVIOUS_REVISION",
                "there is no revision before the current one",
                subject,
            ),
            Self::AlreadyRolledBack { left, current } => {
                already_rolled_back(left, current, subject)
            }
            Self::Revision { expected, actual } => {
                let [id, number] = actual.map(id_and_number).unwrap_or_default();
                let serving = actual.map_or_else(|| "no revision".into(), name);
                aborted(
                    "REVISION_MISMATCH",
                    format!("{serving} serves, not {expected}"),
                    [
                        ("expected_revision_id", expected.to_string()),
                        ("current_revision_id", id),
                        ("current_revision_number", number),
                    ],
                )
            }
            Self::InProgress(deploying) => in_progress(deploying, GIVE_UP),
            Self::Rules(rejection) => not_activated(rejection, GIVE_UP, subject),
        }
    }
}

impl IntoStatus for PauseRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self.0 {
            PauseRejection::Already => precondition(
                "ALREADY_PAUSED",
                "the deployment is paused already",
                subject,
            ),
            PauseRejection::Gone(lifecycle) => gone(lifecycle, subject),
        }
    }
}

impl IntoStatus for ResumeRefusal {
    fn into_status(self, subject: &str) -> Status {
        match self.0 {
            PauseRejection::Already => {
                precondition("NOT_PAUSED", "the deployment is not paused", subject)
            }
            PauseRejection::Gone(lifecycle) => gone(lifecycle, subject),
        }
    }
}

impl IntoStatus for RestartRejection {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::Deploying => precondition(
                "ROLLOUT_UNDER_WAY",
                "a revision is being deployed, with new routes: promote it or abort it first",
                subject,
            ),
            Self::NoRevision => precondition(
                "NO_REVISION",
                "there is no revision whose routes could be replaced",
                subject,
            ),
            Self::Paused => paused(subject),
            Self::Gone(lifecycle) => gone(lifecycle, subject),
        }
    }
}

impl IntoStatus for DrainRejection {
    fn into_status(self, subject: &str) -> Status {
        match self {
            Self::NotLive => precondition(
                "ROUTE_NOT_LIVE",
                "the route is ending, or has ended",
                subject,
            ),
        }
    }
}

/// An activation, or a roll-back that is one. `way_out` says how to end a rollout that is
/// under way.
fn not_activated(rejection: ActivateRejection, way_out: &str, subject: &str) -> Status {
    match rejection {
        ActivateRejection::AlreadyCurrent => precondition(
            "ALREADY_CURRENT",
            "the revision is the current one already",
            subject,
        ),
        ActivateRejection::InProgress { deploying: id } => {
            in_progress(NamedRevision { id, number: None }, way_out)
        }
        ActivateRejection::Gone(lifecycle) => gone(lifecycle, subject),
    }
}

fn in_progress(deploying: NamedRevision, way_out: &str) -> Status {
    let [id, number] = id_and_number(deploying);
    aborted(
        "DEPLOYMENT_IN_PROGRESS",
        format!("{} is being deployed; {way_out}", name(deploying)),
        [
            ("deploying_revision_id", id),
            ("deploying_revision_number", number),
        ],
    )
}

fn deploys_another(expected: RevisionId, actual: Option<NamedRevision>) -> Status {
    let [id, number] = actual.map(id_and_number).unwrap_or_default();
    let deploying = actual.map_or_else(|| "no revision".into(), name);
    aborted(
        "REVISION_MISMATCH",
        format!("{deploying} is being deployed, not {expected}"),
        [
            ("expected_revision_id", expected.to_string()),
            ("deploying_revision_id", id),
            ("deploying_revision_number", number),
        ],
    )
}

/// People know revisions by their numbers, programs by their ids.
fn name(NamedRevision { id, number }: NamedRevision) -> String {
    match number {
        Some(number) => format!("revision {number} ({id})"),
        None => format!("revision {id}"),
    }
}

fn id_and_number(NamedRevision { id, number }: NamedRevision) -> [String; 2] {
    let number = number.map(|it| it.to_string()).unwrap_or_default();
    [id.to_string(), number]
}

const SUPERSEDE: &str = "`supersede` gives it up";
const GIVE_UP: &str = "to give it up and keep the current one, abort";

fn already_rolled_back(left: Option<i64>, current: Option<i64>, subject: &str) -> Status {
    // A record of an earlier program may not have the numbers.
    let named = |number: Option<i64>, without: &str| {
        number.map_or_else(|| without.to_owned(), |number| format!("revision {number}"))
    };
    let message = format!(
        "the rollout of {} was given up, and {} serves; to go back further, name a revision",
        named(left, "the last revision"),
        named(current, "the one before"),
    );
    precondition("ALREADY_ROLLED_BACK", &message, subject)
}

fn not_deploying(lifecycle: Lifecycle, subject: &str) -> Status {
    let message = format!(
        "nothing is being deployed: the deployment is {}",
        lifecycle.as_str()
    );
    precondition("NOT_DEPLOYING", &message, subject)
}

fn paused(subject: &str) -> Status {
    let message = "the deployment is paused: resume it first";
    precondition("PAUSED", message, subject)
}

fn rolling_back(subject: &str) -> Status {
    precondition("ROLLING_BACK", "the rollout is being rolled back", subject)
}

fn blocked(blockers: &[Blocker], subject: &str) -> Status {
    let sentences: Vec<String> = blockers.iter().map(Blocker::to_string).collect();
    let violations: Vec<_> = blockers
        .iter()
        .map(|blocker| {
            PreconditionViolation::new(blocker.code().as_str(), subject, blocker.to_string())
        })
        .collect();
    let mut details = info("PROMOTION_BLOCKED", []);
    details.set_precondition_failure(violations);
    let message = format!("cannot promote: {}", sentences.join("; "));
    Status::with_error_details(Code::FailedPrecondition, message, details)
}

fn gone(lifecycle: Lifecycle, subject: &str) -> Status {
    let message = format!("the deployment is {}", lifecycle.as_str());
    precondition("DEPLOYMENT_GONE", &message, subject)
}

pub(crate) fn request_id_reused() -> Status {
    let message = "the request id was used for another request";
    let mut details = info("REQUEST_ID_REUSED", []);
    details.add_bad_request_violation("request_id", message);
    Status::with_error_details(Code::InvalidArgument, message, details)
}
