//! Create a deployment, with its first revision and its routes if it has one.

use std::collections::BTreeMap;

use uuid::Uuid;
use viridian_strategy::{
    DeploymentId, ObservedDeployment, Policy, RevisionId, ServedRevisions, Timestamp, Transition,
    verbs,
};

use crate::{
    Store,
    deployments::INSERT_DEPLOYMENT,
    error::{CreateRefusal, StoreError, UnitError},
    record::{
        Deployment, Metadata, OpenEntries, Operation, Protocol, Revision, RevisionNumbers,
        RevisionSpec, Status, TableContent, Updated,
    },
    replies::RequestNamespace,
    telemetry::InUnit as _,
    transaction::UnitTransaction,
    units::{
        RequestContext,
        change::{PlannedChange, WriteSet},
        lock::Locked,
    },
};

/// What is to be created.
#[derive(Clone, Debug)]
pub struct NewDeployment {
    /// The project that it belongs to.
    pub project: String,
    /// Its name.
    pub name: String,
    /// Labels to select by.
    pub labels: BTreeMap<String, String>,
    /// Where it belongs and who asks for it.
    pub metadata: Metadata,
    /// How many routes ought to serve.
    pub target_replicas: u32,
    /// How a new revision replaces the current one.
    pub policy: Policy,
    /// How many revisions are kept.
    pub revision_history_limit: u32,
    /// What its replicas speak.
    pub protocol: Protocol,
    /// The first revision.
    pub initial_revision: Option<RevisionSpec>,
}

impl Store {
    /// Creates a deployment in one transaction.
    ///
    /// # Errors
    ///
    /// [`CreateRefusal::NameTaken`], and those of every unit of work.
    pub async fn create_deployment(
        &self,
        new: NewDeployment,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<CreateRefusal>> {
        let project = new.project.clone();
        let namespace = RequestNamespace::Project(&project);
        self.idempotent(namespace, call, async |tx: &mut UnitTransaction| {
            is_expected(call)?;
            let now = tx.now().await?;
            let set = creation(new, now, call);
            let deployment = set.deployment.clone();
            tx.carry_out_all(vec![set], now);
            Ok(Updated { deployment })
        })
        .in_unit("create", None)
        .await
        .map_err(|error| match error {
            // The index on live names decides. A look-up before the INSERT would race with another
            // call.
            UnitError::Store(StoreError::Conflict {
                what: INSERT_DEPLOYMENT,
                ..
            }) => UnitError::Refused(CreateRefusal::NameTaken),
            error => error,
        })
    }
}

/// Refuses a call whose caller has seen a deployment: one that is not there has
/// generation 0.
pub(crate) fn is_expected<R>(call: &RequestContext) -> Result<(), UnitError<R>> {
    match call.expected_generation {
        Some(expected) if expected != 0 => Err(UnitError::Generation {
            expected,
            actual: 0,
        }),
        _ => Ok(()),
    }
}

/// Everything that a creation writes.
pub(crate) fn creation(new: NewDeployment, now: Timestamp, call: &RequestContext) -> WriteSet {
    // Version 7: lists are in the order of ids, which is the order of creation.
    let id = DeploymentId(Uuid::now_v7());
    let revision = new.initial_revision.as_ref().map(|spec| Revision {
        id: RevisionId(Uuid::now_v7()),
        deployment: id,
        number: 1,
        spec: spec.clone(),
        created_at: now,
        created_by: call.actor.clone(),
    });
    let first = revision.as_ref().map(|revision| revision.id);
    let transition = verbs::create(first, new.target_replicas);
    let held = Locked {
        deployment: before_the_first_write(id, new, &transition, now),
        routes: Vec::new(),
        table: TableContent::default(),
        table_commit: None,
        open_entries: OpenEntries::default(),
        due_at: None,
        now,
        had_later_times: false,
        health_ttl: None,
    };
    let plan = PlannedChange::of_call(transition, Operation::Create).naming(revision.as_ref());
    WriteSet {
        revision,
        ..held.write_set(&plan, call)
    }
}

/// A record at generation 0 and sequence 0, which no caller can see: creating it is
/// its first change.
fn before_the_first_write(
    id: DeploymentId,
    new: NewDeployment,
    transition: &Transition,
    now: Timestamp,
) -> Deployment {
    let ObservedDeployment {
        state,
        target_replicas,
        paused,
        last_activation,
        current_activation,
        promoted_at,
        coming_up,
        generation: _,
        restarted,
    } = transition.deployment;
    Deployment {
        id,
        project: new.project,
        name: new.name,
        labels: new.labels,
        metadata: new.metadata,
        target_replicas,
        policy: new.policy,
        revision_history_limit: new.revision_history_limit,
        protocol: new.protocol,
        paused,
        state,
        last_activation,
        current_activation,
        // A first revision is the first activation.
        rollout_number: last_activation,
        numbers: RevisionNumbers::default(),
        served: ServedRevisions::default(),
        last_rollout: None,
        generation: 0,
        sequence: 0,
        epoch: 0,
        status: Status::default(),
        availability: None,
        created_at: now,
        updated_at: now,
        phase_started_at: now,
        deadline_at: None,
        promoted_at,
        coming_up,
        restarted,
        last_revision: i64::from(new.initial_revision.is_some()),
        last_history: 0,
    }
}
