//! Update: ask for another number of routes, another policy, other labels.

use std::collections::BTreeMap;

use viridian_strategy::{DeploymentId, Policy, verbs};

use crate::{
    Store,
    error::{UnitError, UpdateRefusal},
    record::{Deployment, FieldChange, Operation, Protocol, Updated},
    telemetry::InUnit as _,
    units::{RequestContext, change::PlannedChange},
};

/// What is asked of a deployment, and may change.
#[derive(Clone, Debug, PartialEq)]
pub struct DeploymentSpec {
    /// How many routes ought to serve.
    pub target_replicas: u32,
    /// How a new revision replaces the current one.
    pub policy: Policy,
    /// Labels to select by.
    pub labels: BTreeMap<String, String>,
    /// How many revisions are kept.
    pub revision_history_limit: u32,
    /// What the replicas speak.
    pub protocol: Protocol,
}

/// A spec that is wanted, and how it differs from the present one.
#[derive(Clone, Debug, PartialEq)]
pub struct SpecChange {
    /// The spec.
    pub spec: DeploymentSpec,
    /// What differs, for the history.
    pub changes: Vec<FieldChange>,
}

impl DeploymentSpec {
    /// Returns what is asked of a deployment now.
    pub fn of(deployment: &Deployment) -> Self {
        Self {
            target_replicas: deployment.target_replicas,
            policy: deployment.policy.clone(),
            labels: deployment.labels.clone(),
            revision_history_limit: deployment.revision_history_limit,
            protocol: deployment.protocol,
        }
    }

    /// Returns a deployment of which this is asked.
    pub(crate) fn amending(self, deployment: Deployment) -> Deployment {
        Deployment {
            target_replicas: self.target_replicas,
            policy: self.policy,
            labels: self.labels,
            revision_history_limit: self.revision_history_limit,
            protocol: self.protocol,
            ..deployment
        }
    }
}

/// A spec without a description of what differs.
impl From<DeploymentSpec> for SpecChange {
    fn from(spec: DeploymentSpec) -> Self {
        let changes = Vec::new();
        Self { spec, changes }
    }
}

impl Store {
    /// Changes what is asked of a deployment. `change` is given the present spec, under
    /// the deployment's lock. An update that asks for what is there already changes
    /// nothing, its generation included.
    ///
    /// # Errors
    ///
    /// An [`UpdateRefusal`], and those of every unit of work.
    pub async fn update_deployment<E: Send + 'static, C: Into<SpecChange>>(
        &self,
        id: DeploymentId,
        change: impl Fn(&DeploymentSpec) -> Result<C, E> + Send + Sync + 'static,
        call: &RequestContext,
    ) -> Result<Updated, UnitError<UpdateRefusal<E>>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let old = &held.deployment;
            let present = DeploymentSpec::of(old);
            let changed = change(&present).map(Into::<SpecChange>::into);
            // Also when the change is refused: a deployment that is gone is refused as
            // such, whatever is asked of it.
            let spec = changed.as_ref().map_or(&present, |it| &it.spec);
            let transition = held
                .decide(|observed| verbs::update(observed, spec.target_replicas, &spec.policy))
                .map_err(|rejection| UnitError::Refused(UpdateRefusal::Rules(rejection)))?;
            let SpecChange { spec, changes } =
                changed.map_err(|error| UnitError::Refused(UpdateRefusal::Spec(error)))?;
            if spec == present {
                // Only the reply is written, so that a repeat of the request gets the same one.
                let deployment = old.clone();
                return Ok((Updated { deployment }, None));
            }
            let plan = PlannedChange::of_call(transition, Operation::Update)
                .amending(spec.amending(old.clone()))
                .with_changes(changes);
            Ok(Updated::by(held.write_set(&plan, &terms)))
        })
        .in_unit("update", id)
        .await
    }
}
