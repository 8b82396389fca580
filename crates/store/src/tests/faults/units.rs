//! The units of work.

use std::{convert::Infallible, fmt::Debug, time::Duration};

use futures::{FutureExt as _, future::BoxFuture};
use serde_json::Value;
use uuid::Uuid;
use viridian_engine::system_clock;
use viridian_strategy::{DeploymentId, RouteHealth, RouteStatus};

use super::{
    super::fixture::{amend, call, new_deployment, report, spec},
    scenes::UnitTarget,
};
use crate::{
    AdvanceOptions, DeploymentSpec, HealthReport, LastReport, NewDeployment, PromoteMember,
    ReportError, Request, RequestContext, RequestId, RollBackMember, RollBackOptions, Store,
    StoreError,
    documents::Reply,
    types::{Json, timestamp},
};

/// A unit of work, each from a subject of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unit {
    Create,
    CreateIdle,
    Update,
    Delete,
    Record,
    RecordAndActivate,
    Activate,
    ActivateDirectly,
    ActivateRefused,
    Supersede,
    Promote,
    PromoteAndRetain,
    PromoteSet,
    RollBackSet,
    Abort,
    RollBackAtOnce,
    RollBackWithKept,
    RollBackByActivation,
    Advance,
    AbortCanary,
    SupersedeCanary,
    DeleteCanary,
    RollBackCanary,
    Pause,
    Resume,
    ReportStarted,
    ReportEnded,
    ReportHealth,
    ReportSilence,
    NoteReports,
    FailureBackoff,
    CycleCreates,
    CycleDrains,
    CycleShifts,
    CycleShiftsOn,
    CyclePromotes,
    CycleRollsBack,
    CycleEndsRetention,
    CycleDestroys,
    CycleWaits,
}

/// The reply, or the error as text.
pub(super) type UnitResult = Result<Value, String>;

impl Unit {
    pub(super) const ALL: [Self; 40] = [
        Self::Create,
        Self::CreateIdle,
        Self::Update,
        Self::Delete,
        Self::Record,
        Self::RecordAndActivate,
        Self::Activate,
        Self::ActivateDirectly,
        Self::ActivateRefused,
        Self::Supersede,
        Self::Promote,
        Self::PromoteAndRetain,
        Self::PromoteSet,
        Self::RollBackSet,
        Self::Abort,
        Self::RollBackAtOnce,
        Self::RollBackWithKept,
        Self::RollBackByActivation,
        Self::Advance,
        Self::AbortCanary,
        Self::SupersedeCanary,
        Self::DeleteCanary,
        Self::RollBackCanary,
        Self::Pause,
        Self::Resume,
        Self::ReportStarted,
        Self::ReportEnded,
        Self::ReportHealth,
        Self::ReportSilence,
        Self::NoteReports,
        Self::FailureBackoff,
        Self::CycleCreates,
        Self::CycleDrains,
        Self::CycleShifts,
        Self::CycleShiftsOn,
        Self::CyclePromotes,
        Self::CycleRollsBack,
        Self::CycleEndsRetention,
        Self::CycleDestroys,
        Self::CycleWaits,
    ];

    /// Whether it has a request id, and so a stored reply.
    pub(super) fn is_a_call(self) -> bool {
        !matches!(
            self,
            Self::ReportStarted
                | Self::ReportEnded
                | Self::ReportHealth
                | Self::ReportSilence
                | Self::NoteReports
                | Self::FailureBackoff
                | Self::CycleCreates
                | Self::CycleDrains
                | Self::CycleShifts
                | Self::CycleShiftsOn
                | Self::CyclePromotes
                | Self::CycleRollsBack
                | Self::CycleEndsRetention
                | Self::CycleDestroys
                | Self::CycleWaits
        )
    }

    /// Whether it shares a transaction with others.
    pub(super) fn shares(self) -> bool {
        matches!(
            self,
            Self::Update
                | Self::Delete
                | Self::Promote
                | Self::PromoteAndRetain
                | Self::Abort
                | Self::Advance
                | Self::AbortCanary
                | Self::DeleteCanary
                | Self::Pause
                | Self::Resume
        )
    }

    /// Whether the rules refuse it, unharmed.
    pub(super) fn is_refused(self) -> bool {
        self == Self::ActivateRefused
    }

    /// Does it. A call has the same request id each time.
    pub(super) fn run<'a>(
        self,
        db: &'a Store,
        subject: &'a UnitTarget,
    ) -> BoxFuture<'a, UnitResult> {
        let UnitTarget {
            deployment,
            revision,
            ..
        } = *subject;
        let id = deployment.unwrap_or(DeploymentId(Uuid::nil()));
        let create = move |spec| {
            async move { told(db.create_deployment(new(spec), &terms()).await) }.boxed()
        };
        let record = move |activate| {
            async move { told(db.create_revision(id, spec(), activate, &terms()).await) }.boxed()
        };
        let activate = move |supersede| {
            let revision = revision.expect("there is one to activate");
            async move {
                told(
                    db.activate_revision(id, revision, supersede, &terms())
                        .await,
                )
            }
            .boxed()
        };
        match self {
            Self::Create => create(Some(spec())),
            Self::CreateIdle => create(None),
            Self::Update => {
                async move { told(db.update_deployment(id, target(3), &terms()).await) }.boxed()
            }
            Self::Delete | Self::DeleteCanary => {
                async move { told(db.delete_deployment(id, &terms()).await) }.boxed()
            }
            Self::Record => record(false),
            Self::RecordAndActivate => record(true),
            Self::Supersede | Self::SupersedeCanary => activate(true),
            Self::Activate | Self::ActivateDirectly | Self::ActivateRefused => activate(false),
            Self::Promote | Self::PromoteAndRetain => {
                async move { told(db.complete_manual_promote(id, None, &terms()).await) }.boxed()
            }
            Self::Advance => {
                let options = AdvanceOptions::default();
                async move { told(db.advance_deployment(id, options, &terms()).await) }.boxed()
            }
            Self::PromoteSet => {
                let members = subject.set().map(PromoteMember::of);
                async move { told(db.promote_deployments(&members, &terms()).await) }.boxed()
            }
            Self::RollBackSet => {
                let members = subject.set().map(RollBackMember::of);
                async move { told(db.roll_back_deployments(&members, &terms()).await) }.boxed()
            }
            Self::Abort | Self::AbortCanary => {
                async move { told(db.abort_deployment(id, None, &terms()).await) }.boxed()
            }
            Self::RollBackAtOnce
            | Self::RollBackWithKept
            | Self::RollBackByActivation
            | Self::RollBackCanary => {
                let options = RollBackOptions::default();
                async move { told(db.roll_back_deployment(id, options, &terms()).await) }.boxed()
            }
            Self::Pause => async move { told(db.pause_deployment(id, &terms()).await) }.boxed(),
            Self::Resume => async move { told(db.resume_deployment(id, &terms()).await) }.boxed(),
            Self::ReportStarted => report_status(db, subject, RouteStatus::Running).boxed(),
            Self::ReportEnded => report_status(db, subject, RouteStatus::Terminated).boxed(),
            Self::ReportHealth => report_health(db, subject, RouteHealth::Healthy).boxed(),
            Self::ReportSilence => {
                let silent = subject.routes.iter().map(|&route| (route, id)).collect();
                async move {
                    done(
                        db.silence(timestamp(system_clock()), &silent)
                            .await
                            .map(|it| it.routes),
                    )
                }
                .boxed()
            }
            Self::NoteReports => {
                let spoken = |&route| LastReport {
                    route,
                    status: None,
                    health: Some(timestamp(system_clock())),
                };
                let spoken = subject.routes.iter().map(spoken).collect();
                async move { done(db.note_reports(spoken).await) }.boxed()
            }
            Self::FailureBackoff => {
                async move { done(db.postpone(id, Duration::from_secs(60)).await) }.boxed()
            }
            Self::CycleCreates
            | Self::CycleDrains
            | Self::CycleShifts
            | Self::CycleShiftsOn
            | Self::CyclePromotes
            | Self::CycleRollsBack
            | Self::CycleEndsRetention
            | Self::CycleDestroys
            | Self::CycleWaits => async move { done(db.reconcile(id).await) }.boxed(),
        }
    }
}

async fn report_status(db: &Store, subject: &UnitTarget, status: RouteStatus) -> UnitResult {
    let reports = subject.routes.iter().map(|&route| report(route, status));
    let results = db.report_statuses(reports.collect()).await;
    applied(results)
}

async fn report_health(db: &Store, subject: &UnitTarget, health: RouteHealth) -> UnitResult {
    let report = |&route| HealthReport::new(route, health);
    let results = db.report_health(subject.routes.iter().map(report).collect());
    applied(results.await)
}

/// The reply of a call, as it is stored.
fn told<T: Reply, E: Debug>(result: Result<T, E>) -> UnitResult {
    let reply = result.map_err(|error| format!("{error:?}"))?;
    let text = Json::text(&reply).map_err(|error| error.to_string())?;
    serde_json::from_str(&text).map_err(|error| error.to_string())
}

/// What a unit gives that stores no reply.
fn done<T: Debug, E: Debug>(result: Result<T, E>) -> UnitResult {
    match result {
        Ok(given) => Ok(Value::String(format!("{given:?}"))),
        Err(error) => Err(format!("{error:?}")),
    }
}

/// Done if each is applied.
fn applied(results: Result<Vec<Result<(), ReportError>>, StoreError>) -> UnitResult {
    let results = results.map_err(|error| error.to_string())?;
    let each: Result<Vec<()>, ReportError> = results.into_iter().collect();
    done(each.map(|each| each.len()))
}

fn terms() -> RequestContext {
    RequestContext {
        request: Some(Request {
            id: RequestId(Uuid::from_u128(7)),
            method: "Call",
            fingerprint: b"the same".to_vec(),
        }),
        ..call()
    }
}

pub(super) fn new(initial_revision: Option<crate::RevisionSpec>) -> NewDeployment {
    NewDeployment {
        target_replicas: 2,
        initial_revision,
        ..new_deployment("p", "new")
    }
}

pub(super) fn target(
    target_replicas: u32,
) -> impl Fn(&DeploymentSpec) -> Result<DeploymentSpec, Infallible> + Send + Sync + 'static {
    amend(move |it| it.target_replicas = target_replicas)
}
