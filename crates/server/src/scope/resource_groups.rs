//! The resource groups of an agent: whose routes it runs and reports.

use std::collections::HashSet;

use tonic::Status;
use viridian_strategy::RouteId;

use super::Scope;
use crate::{
    error::{resource_group_not_allowed, store},
    log_throttle::{AdmittedLine, admit_line},
};

impl Scope {
    /// Refuses a resource group whose routes are not the caller's.
    pub(crate) fn check_resource_group(&self, group: &str) -> Result<(), Status> {
        if self.caller.runs(group) {
            return Ok(());
        }
        self.log_foreign_group(group);
        Err(resource_group_not_allowed(self.caller.name(), group))
    }

    /// Those of some routes that belong to other resource groups than the caller's.
    pub(crate) async fn foreign_routes(&self, ids: &[RouteId]) -> Result<HashSet<RouteId>, Status> {
        if self.caller.runs_all() {
            return Ok(HashSet::new());
        }
        let found = self.reader().await?.find_route_groups(ids.to_vec()).await;
        let found = found.map_err(|error| store(&error))?.into_iter();
        let foreign = found.filter(|(_, group)| {
            let foreign = !self.caller.runs(group);
            if foreign {
                self.log_foreign_group(group);
            }
            foreign
        });
        Ok(foreign.map(|(id, _)| id).collect())
    }

    fn log_foreign_group(&self, resource_group: &str) {
        let (actor, method) = (self.caller.name(), self.caller.method());
        let why = "the resource group is not one of theirs";
        if let Some(AdmittedLine { left_out }) = admit_line("resource group", actor) {
            tracing::warn!(
                actor,
                method,
                resource_group,
                why,
                left_out,
                "a call was denied"
            );
        }
    }
}
