//! Create a deployment, with its first revision and its routes if it has one.

use std::collections::BTreeMap;

use uuid::Uuid;
use viridian_strategy::{
    DeploymentId, Policy, RevisionId, RouteId, Transition, counts, evaluate, verbs,
};

use crate::{
    CommitNotice, Database,
    deployments::{Deployment, INSERT_DEPLOYMENT, Metadata, Status, insert_deployment},
    error::{CreateRefusal, StoreError, UnitError},
    events::insert_events,
    history::{Move, insert_moves, place},
    revisions::{Revision, RevisionSpec, insert_revision},
    telemetry::{InUnit as _, Moved},
    transaction::Transaction,
    types::{EventKind, Outcome, Phase},
    units::{Changed, RequestContext, change::RouteChanges},
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
    /// The first revision.
    pub initial_revision: Option<RevisionSpec>,
}

impl Database {
    /// Creates a deployment in one transaction.
    ///
    /// # Errors
    ///
    /// [`CreateRefusal::NameTaken`], and those of every unit of work.
    pub async fn create_deployment(
        &self,
        new: NewDeployment,
        call: &RequestContext,
    ) -> Result<Changed, UnitError<CreateRefusal>> {
        self.idempotent(call, async |tx: &mut Transaction| {
            match call.expected_generation {
                Some(expected) if expected != 0 => {
                    return Err(UnitError::Generation {
                        expected,
                        actual: 0,
                    });
                }
                _ => {}
            }
            Ok(create(tx, new, call).await?)
        })
        .in_unit("create", None)
        .await
        .map_err(|error| match error {
            UnitError::Store(StoreError::Conflict {
                what: INSERT_DEPLOYMENT,
                ..
            }) => UnitError::Refused(CreateRefusal::NameTaken),
            error => error,
        })
    }
}

async fn create(
    tx: &mut Transaction,
    new: NewDeployment,
    call: &RequestContext,
) -> Result<Changed, StoreError> {
    let now = tx.now().await?;
    let revision = new
        .initial_revision
        .map(|spec| (RevisionId(Uuid::now_v7()), spec));
    let first = revision.as_ref().map(|(id, _)| *id);
    let Transition { state, changes, .. } = verbs::create(first, new.target_replicas);
    let mut deployment = Deployment {
        id: DeploymentId(Uuid::now_v7()),
        project: new.project,
        name: new.name,
        labels: new.labels,
        metadata: new.metadata,
        target_replicas: new.target_replicas,
        policy: new.policy,
        revision_history_limit: new.revision_history_limit,
        paused: false,
        state,
        current_since: now,
        previous: None,
        generation: 1,
        sequence: 1,
        epoch: 0,
        status: Status::default(),
        created_at: now,
        updated_at: now,
        phase_started_at: now,
        deadline_at: None,
        promoted_at: None,
        last_revision: i64::from(first.is_some()),
        last_history: 1,
    };
    // What can be seen is that of the routes that are inserted behind it.
    let to_come = changes
        .rollout
        .iter()
        .flat_map(|new| (0..new.count).map(|_| new.create(RouteId(Uuid::now_v7()), now)));
    let to_come: Vec<_> = to_come.collect();
    let outlook = evaluate(&deployment.view(), &to_come, &deployment.policy, now);
    let (blue, green) = counts(&deployment.view(), &to_come);
    deployment.status = Status {
        blue,
        green,
        blockers: outlook.blockers,
    };
    let due_at = first.map(|_| now);
    tx.write([insert_deployment(deployment.clone(), due_at)]);
    if let Some((id, spec)) = revision {
        let revision = Revision {
            id,
            deployment: deployment.id,
            number: 1,
            spec,
            created_at: now,
            created_by: call.actor.clone(),
        };
        tx.write([insert_revision(revision)]);
    }
    let routes = RouteChanges::of(&deployment, &mut Vec::new(), &changes, now);
    tx.change_routes(vec![routes], now);
    record(tx, &deployment, call);
    tx.notify_on_commit(CommitNotice {
        deployment: deployment.id,
        epoch: Some(deployment.epoch),
        due_at,
        resource_group: first.map(|_| deployment.metadata.resource_group.clone()),
    });
    Ok(Changed { deployment })
}

fn record(tx: &mut Transaction, deployment: &Deployment, call: &RequestContext) {
    let entry = Move {
        deployment: deployment.id,
        number: 1,
        phase: Phase::Create,
        outcome: Outcome::Success,
        from: None,
        to: place(&deployment.state),
        revision: deployment.state.current(),
        actor: call.actor.clone(),
        reason: call.reason.clone(),
        request: call.request.as_ref().map(|request| request.id),
        status: deployment.status.clone(),
        at: deployment.created_at,
    };
    tx.tell(Moved::by(std::slice::from_ref(&entry), deployment));
    tx.write([
        insert_moves(vec![entry]),
        insert_events(vec![(EventKind::Created, deployment.clone())]),
    ]);
}
