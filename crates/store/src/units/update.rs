//! Update: ask for another number of routes, another policy, other labels.

use std::collections::BTreeMap;

use viridian_strategy::{DeploymentId, PolicyPatch, verbs};

use crate::{
    Database, Deployment,
    error::{UnitError, UpdateRefusal},
    telemetry::InUnit as _,
    types::Phase,
    units::{Changed, RequestContext, change::PlannedChange},
};

/// What is asked for. What is None stays as it is.
#[derive(Clone, Debug, Default)]
pub struct DeploymentUpdate {
    /// How many routes ought to serve.
    pub target_replicas: Option<u32>,
    /// How a new revision replaces the current one.
    pub policy: PolicyPatch,
    /// Labels to select by, all of them.
    pub labels: Option<BTreeMap<String, String>>,
    /// How many revisions are kept.
    pub revision_history_limit: Option<u32>,
}

impl Database {
    /// Changes what is asked of a deployment. An update that asks for what is
    /// there already changes nothing, its generation included.
    ///
    /// # Errors
    ///
    /// An [`UpdateRefusal`], and those of every unit of work.
    pub async fn update_deployment(
        &self,
        id: DeploymentId,
        update: DeploymentUpdate,
        call: &RequestContext,
    ) -> Result<Changed, UnitError<UpdateRefusal>> {
        let terms = call.clone();
        self.batched(id, call, move |held| {
            let old = &held.deployment;
            let target = update.target_replicas.unwrap_or(old.target_replicas);
            // A deployment that is gone is refused as such, whatever is asked of it.
            let patched = update.policy.apply(&old.policy);
            let policy = patched.as_ref().unwrap_or(&old.policy);
            let transition = held
                .decide(|observed| verbs::update(observed, target, policy))
                .map_err(|rejection| UnitError::Refused(UpdateRefusal::Rules(rejection)))?;
            let policy =
                patched.map_err(|error| UnitError::Refused(UpdateRefusal::Patch(error)))?;
            let amended = Deployment {
                target_replicas: target,
                policy,
                labels: update.labels.as_ref().unwrap_or(&old.labels).clone(),
                revision_history_limit: update
                    .revision_history_limit
                    .unwrap_or(old.revision_history_limit),
                ..old.clone()
            };
            if amended == *old {
                let deployment = amended;
                return Ok((Changed { deployment }, None));
            }
            let plan = PlannedChange::of_call(transition, Phase::Update).amending(amended);
            Ok(Changed::by(held.write_set(&plan, &terms)))
        })
        .in_unit("update", id)
        .await
    }
}
