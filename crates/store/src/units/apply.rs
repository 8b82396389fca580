//! Apply: make a deployment what a caller describes, as one change.

use uuid::Uuid;
use viridian_engine::WaitStart;
use viridian_strategy::{
    DeploymentId, RevisionId, SubStep,
    verbs::{
        self, ApplyDecision, ApplyRejection, RevisionChange, UpdateRejection, WantedRevision,
        WantedState,
    },
};

use crate::{
    Store,
    deployments::INSERT_DEPLOYMENT,
    error::{ApplyRefusal, StoreError, UnitError, UpdateRefusal},
    record::{
        Applied, Deployment, FieldChange, Operation, Revision, RevisionReference, RevisionSpec,
    },
    replies::RequestNamespace,
    telemetry::InUnit as _,
    transaction::UnitTransaction,
    units::{
        DeploymentSpec, NewDeployment, RequestContext, SpecChange,
        change::{PlannedChange, WriteSet},
        create::{creation, is_expected},
        lock::Locked,
    },
};

/// What a caller wants a deployment to be.
pub trait DesiredState: Send + Sync {
    /// Why the present settings cannot become what is wanted.
    type Conflict: Send + 'static;

    /// Returns the settings that a deployment is to have, given what it is now.
    ///
    /// # Errors
    ///
    /// A conflict if the two do not fit together.
    fn merge(&self, present: &Deployment) -> Result<SpecChange, Self::Conflict>;

    /// Returns what is to run, if that is said.
    fn revision(&self) -> Option<&RevisionSpec>;

    /// Describes a new revision, beside the one before it.
    fn describe_revision(
        &self,
        before: Option<&RevisionSpec>,
        after: &RevisionSpec,
    ) -> Vec<FieldChange>;
}

/// The same of a deployment that may have to be created.
pub trait Manifest: DesiredState {
    /// Returns the project of the deployment.
    fn project(&self) -> &str;

    /// Returns its name.
    fn name(&self) -> &str;

    /// Returns what is created if there is none, and a description of it.
    ///
    /// # Errors
    ///
    /// A conflict if what is wanted does not fit the defaults of a new deployment.
    fn creation(&self) -> Result<(NewDeployment, Vec<FieldChange>), Self::Conflict>;
}

/// How far an apply may go.
#[derive(Clone, Copy, Debug, Default)]
pub struct ApplyOptions {
    /// It may give up a rollout.
    pub supersede: bool,
    /// It changes nothing, and returns what it would change.
    pub validate_only: bool,
    /// It may create the deployment.
    pub allow_create: bool,
}

/// Revisions of a deployment that a wanted one may equal.
#[derive(Default)]
struct PresentRevisions {
    current: Option<Revision>,
    /// None while it is rolled back: it is on its way out.
    deploying: Option<Revision>,
}

impl Store {
    /// Makes a deployment what a manifest says, in one transaction.
    ///
    /// # Errors
    ///
    /// An [`ApplyRefusal`], and those of every unit of work.
    pub async fn apply_deployment<M: Manifest>(
        &self,
        manifest: &M,
        options: ApplyOptions,
        call: &RequestContext,
    ) -> Result<Applied, UnitError<ApplyRefusal<M::Conflict>>> {
        // Another call may create or delete the deployment after the look-up. Each attempt
        // decides under a lock, so the look-up only says where to begin.
        for _ in 0..MAX_ATTEMPTS {
            let mut reader = self.reader().await?;
            let found = reader.find_deployment_id(manifest.project(), manifest.name());
            let found = found.await?;
            // Before the transaction: a call must not wait for a second connection.
            drop(reader);
            let applied = match found {
                Some(id) => self.apply_to_one(id, manifest, options, call).await,
                None => self.apply_to_none(manifest, options, call).await,
            };
            match applied {
                Err(error) if is_outdated(&error) => {}
                applied => return applied,
            }
        }
        Err(StoreError::LockTimeout.into())
    }

    /// Deploys a spec, unless it serves or is on its way.
    ///
    /// # Errors
    ///
    /// An [`ApplyRefusal`], and those of every unit of work.
    pub async fn deploy_spec<M: DesiredState>(
        &self,
        id: DeploymentId,
        manifest: &M,
        options: ApplyOptions,
        call: &RequestContext,
    ) -> Result<Applied, UnitError<ApplyRefusal<M::Conflict>>> {
        self.apply_to_one(id, manifest, options, call).await
    }

    async fn apply_to_one<M: DesiredState>(
        &self,
        id: DeploymentId,
        manifest: &M,
        options: ApplyOptions,
        call: &RequestContext,
    ) -> Result<Applied, UnitError<ApplyRefusal<M::Conflict>>> {
        self.apply_with(
            id.into(),
            options,
            call,
            async |tx: &mut UnitTransaction| {
                let held = tx.lock_for(id, call).await?;
                let present = tx.present_revisions(&held.deployment, manifest).await?;
                let now = held.now;
                let (applied, change) = decide(held, &present, manifest, options, call)?;
                Box::pin(tx.carry_out_unless(options.validate_only, change, now)).await?;
                Ok(applied)
            },
        )
        .in_unit("apply", id)
        .await
    }

    async fn apply_to_none<M: Manifest>(
        &self,
        manifest: &M,
        options: ApplyOptions,
        call: &RequestContext,
    ) -> Result<Applied, UnitError<ApplyRefusal<M::Conflict>>> {
        let namespace = RequestNamespace::Project(manifest.project());
        self.apply_with(
            namespace,
            options,
            call,
            async |tx: &mut UnitTransaction| {
                if !options.allow_create {
                    return Err(UnitError::Refused(ApplyRefusal::Missing));
                }
                is_expected(call)?;
                let (new, changes) = manifest.creation().map_err(conflict)?;
                let now = tx.now().await?;
                // The unique name decides between two calls that create at once. The other one fails
                // here, looks again, and finds the deployment.
                let set = creation(new, now, call);
                let applied = Applied {
                    deployment: set.deployment.clone(),
                    changes,
                    revision: set.revision.clone(),
                    created: true,
                    activated: set.revision.is_some(),
                    aborted: false,
                };
                Box::pin(tx.carry_out_unless(options.validate_only, Some(set), now)).await?;
                Ok(applied)
            },
        )
        .in_unit("apply", None)
        .await
    }

    /// Runs an apply: a validation is the same code in a transaction that stores no reply.
    async fn apply_with<R>(
        &self,
        namespace: RequestNamespace<'_>,
        options: ApplyOptions,
        call: &RequestContext,
        work: impl AsyncFnOnce(&mut UnitTransaction) -> Result<Applied, UnitError<R>>,
    ) -> Result<Applied, UnitError<R>> {
        // Without a stored reply: a repeat of a validation has to look again, and the request id
        // stays free for the call that does it.
        if options.validate_only {
            return self
                .write_locked(WaitStart::now(), namespace.deployment(), work)
                .await;
        }
        self.idempotent(namespace, call, work).await
    }
}

impl UnitTransaction {
    /// Loads the revisions that serve or are being deployed. Revisions never change, and
    /// which of them these are is locked.
    async fn present_revisions(
        &mut self,
        deployment: &Deployment,
        manifest: &impl DesiredState,
    ) -> Result<PresentRevisions, StoreError> {
        let mut present = PresentRevisions::default();
        if manifest.revision().is_none() {
            return Ok(present);
        }
        let state = &deployment.state;
        let is_rolling_back = state.sub_step() == Some(SubStep::RollingBack);
        for (id, revision) in [
            (state.current(), &mut present.current),
            (
                state.deploying().filter(|_| !is_rolling_back),
                &mut present.deploying,
            ),
        ] {
            if let Some(id) = id {
                let reference = RevisionReference::Id(id);
                let reader = self.connection().await?;
                *revision = reader.find_revision(deployment.id, reference).await?;
            }
        }
        Ok(present)
    }
}

impl PresentRevisions {
    fn wanted(&self, spec: &RevisionSpec) -> WantedRevision {
        let is_same = |it: &Option<Revision>| it.as_ref().is_some_and(|it| it.spec == *spec);
        WantedRevision {
            // Version 7: lists are in the order of ids, which is the order of creation.
            new: RevisionId(Uuid::now_v7()),
            is_current: is_same(&self.current),
            is_deploying: is_same(&self.deploying),
        }
    }

    /// The one that a new revision is compared with, to describe it: the newest.
    fn newest(&self) -> Option<&Revision> {
        self.deploying.as_ref().or(self.current.as_ref())
    }

    /// The one that is wanted already.
    fn kept(&self, wanted: &WantedRevision) -> Option<&Revision> {
        let deploying = self.deploying.as_ref().filter(|_| wanted.is_deploying);
        deploying.or(self.current.as_ref())
    }
}

/// How a deployment becomes what is wanted.
struct ApplyPlan {
    decision: ApplyDecision,
    wanted: Option<WantedRevision>,
    spec: DeploymentSpec,
    changes: Vec<FieldChange>,
}

type Decided<T, C> = Result<T, UnitError<ApplyRefusal<C>>>;

impl ApplyPlan {
    fn of<M: DesiredState>(
        held: &Locked,
        present: &PresentRevisions,
        manifest: &M,
        options: ApplyOptions,
    ) -> Decided<Self, M::Conflict> {
        let old = &held.deployment;
        let present_spec = DeploymentSpec::of(old);
        let merged = manifest.merge(old);
        // Also when the merge fails: a deployment that is gone is refused as such.
        let spec = merged.as_ref().map_or(&present_spec, |it| &it.spec);
        let wanted = manifest.revision().map(|spec| present.wanted(spec));
        let state = WantedState {
            target_replicas: spec.target_replicas,
            policy: &spec.policy,
            revision: wanted.filter(|_| merged.is_ok()),
            supersede: options.supersede,
        };
        let decision = held.decide(|observed| verbs::apply(observed, state));
        let decision = decision.map_err(|it| UnitError::Refused(refusal(old, it)))?;
        let SpecChange { spec, changes } = merged.map_err(conflict)?;
        Ok(Self {
            decision,
            wanted,
            spec,
            changes,
        })
    }

    /// The name of the change in the history.
    fn operation(&self) -> Operation {
        match self.decision.revision {
            RevisionChange::Keep => Operation::Update,
            RevisionChange::Activate => Operation::Activate,
            RevisionChange::Abort => Operation::Abort,
        }
    }

    /// The revision that is made, if one is.
    fn new_revision(
        &self,
        held: &Locked,
        spec: Option<&RevisionSpec>,
        call: &RequestContext,
    ) -> Option<Revision> {
        let (wanted, spec) = self.wanted.zip(spec)?;
        (self.decision.revision == RevisionChange::Activate)
            .then(|| held.next_revision(wanted.new, spec.clone(), call))
    }
}

/// Decides from what is locked. Nothing is written here.
fn decide<M: DesiredState>(
    held: Locked,
    present: &PresentRevisions,
    manifest: &M,
    options: ApplyOptions,
    call: &RequestContext,
) -> Decided<(Applied, Option<WriteSet>), M::Conflict> {
    let mut plan = ApplyPlan::of(&held, present, manifest, options)?;
    let revision = plan.new_revision(&held, manifest.revision(), call);
    let change = plan.decision.revision;
    let kept = match change {
        RevisionChange::Abort => present.current.as_ref(),
        _ => plan.wanted.and_then(|wanted| present.kept(&wanted)),
    };
    let mut applied = Applied {
        deployment: held.deployment.clone(),
        changes: Vec::new(),
        revision: revision.as_ref().or(kept).cloned(),
        created: false,
        activated: change == RevisionChange::Activate,
        aborted: change == RevisionChange::Abort,
    };
    if change == RevisionChange::Keep && plan.spec == DeploymentSpec::of(&held.deployment) {
        // Only the reply is written, so that a repeat of the request gets the same one.
        return Ok((applied, None));
    }
    if let Some(after) = applied
        .revision
        .as_ref()
        .filter(|_| change != RevisionChange::Keep)
    {
        let before = present.newest().map(|it| &it.spec);
        let changes = manifest.describe_revision(before, &after.spec);
        plan.changes.extend(changes);
    }
    applied.changes.clone_from(&plan.changes);
    let operation = plan.operation();
    let mut amended = plan.spec.amending(held.deployment.clone());
    amended.last_revision += i64::from(revision.is_some());
    let planned = PlannedChange::of_call(plan.decision.transition, operation)
        .amending(amended)
        .naming(revision.as_ref())
        .with_changes(plan.changes);
    let set = WriteSet {
        revision,
        ..held.write_set(&planned, call)
    };
    if !options.validate_only {
        applied.deployment = set.deployment.clone();
    }
    Ok((applied, Some(set)))
}

fn conflict<C>(conflict: C) -> UnitError<ApplyRefusal<C>> {
    UnitError::Refused(ApplyRefusal::Update(UpdateRefusal::Spec(conflict)))
}

fn refusal<C>(deployment: &Deployment, rejection: ApplyRejection) -> ApplyRefusal<C> {
    match rejection {
        ApplyRejection::Update(rejection) => ApplyRefusal::Update(UpdateRefusal::Rules(rejection)),
        ApplyRejection::Activate(rejection) => match deployment.named_in_progress(rejection) {
            Ok(named) => ApplyRefusal::InProgress(named),
            Err(rejection) => ApplyRefusal::Activate(rejection),
        },
    }
}

/// Whether another call has created or deleted the deployment since the look-up.
fn is_outdated<C>(error: &UnitError<ApplyRefusal<C>>) -> bool {
    match error {
        // The index on live names decides.
        UnitError::Store(StoreError::Conflict { what, .. }) => *what == INSERT_DEPLOYMENT,
        UnitError::Refused(ApplyRefusal::Update(UpdateRefusal::Rules(rejection))) => {
            matches!(rejection, UpdateRejection::Gone(_))
        }
        UnitError::NoDeployment(_) => true,
        _ => false,
    }
}

/// More than there are calls that create and delete one name in turn.
const MAX_ATTEMPTS: usize = 10;
