//! Hands out assignments: with the secrets of their revisions, to agents alone.
//!
//! A START without all of its secrets is not handed out: its replica would run, and fail in
//! its own way. The route has failed to start instead, with the reason where an operator
//! looks for it. It is replaced like every route that has, so that a secret that comes later
//! is found by the next one.

use std::{borrow::Borrow, collections::BTreeMap};

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{Action, Assignment, ReportError, SecretReference, StatusReport, StoreError};
use viridian_strategy::RouteStatus;

use crate::{
    convert::route::assignment, error::store, log_throttle::admit_line, scope::Scope,
    secrets::SecretFolder,
};

/// Assignments as an agent is given them, in their order. None for a START that cannot be
/// given: its route is reported as failed. None also for one whose revision cannot be read, so
/// that a damaged row keeps no other deployment from its agents.
pub(super) async fn hand_out<A: Borrow<Assignment>>(
    scope: &Scope,
    assignments: &[A],
) -> Result<Vec<Option<v1::Assignment>>, Status> {
    let mut ready = Vec::new();
    let mut failed = Vec::new();
    let ids = assignments.iter().map(|it| it.borrow().route.view.revision);
    let revisions = scope.database().readable_revisions(ids).await;
    let revisions = revisions.map_err(|error| store(&error))?;
    for next in assignments {
        let next: &Assignment = next.borrow();
        let route = next.route.view.id;
        let Some(revision) = revisions.get(&next.route.view.revision) else {
            // Or it was pruned, and so the route has been over for long.
            ready.push(None);
            continue;
        };
        let sources = match next.action {
            Action::Start => revision.spec.environ_from.clone(),
            Action::Stop => BTreeMap::new(),
        };
        let secrets = match sources.is_empty() {
            true => Ok(BTreeMap::new()),
            false => {
                let folder = scope.secrets().clone();
                read(folder, next.deployment.project.clone(), sources).await
            }
        };
        let given = match secrets {
            Ok(secret_environ) => Some(v1::Assignment {
                secret_environ,
                ..assignment(next, revision)
            }),
            Err(failure) => {
                failed.push(StatusReport {
                    route,
                    status: RouteStatus::FailedToStart,
                    session_id: String::new(),
                    address: None,
                    failure,
                });
                None
            }
        };
        ready.push(given);
    }
    fail(scope, failed).await?;
    Ok(ready)
}

/// The values by the names of their variables, or why there is none.
async fn read(
    folder: SecretFolder,
    project: String,
    sources: BTreeMap<String, SecretReference>,
) -> Result<BTreeMap<String, String>, String> {
    // Not on this thread: the files may be on a network file system.
    let read = tokio::task::spawn_blocking(move || {
        let mut values = BTreeMap::new();
        let mut bytes = 0;
        for (name, reference) in sources {
            let value = folder.read(&project, &reference);
            let value = value.map_err(|error| error.to_string())?;
            bytes += name.len() + value.len();
            if bytes > MAX_BYTES {
                return Err(format!("its secrets are larger than {MAX_BYTES} bytes"));
            }
            values.insert(name, value);
        }
        Ok(values)
    });
    read.await
        .unwrap_or_else(|_| Err("its secrets could not be read by the server".to_owned()))
}

/// Reports routes that cannot be started. A route that another call has is an error, since
/// its assignment would be lost to this caller: it asks again.
async fn fail(scope: &Scope, failed: Vec<StatusReport>) -> Result<(), Status> {
    if failed.is_empty() {
        return Ok(());
    }
    for StatusReport { route, failure, .. } in &failed {
        if let Some(line) = admit_line("secret", scope.actor()) {
            let (why, left_out) = (failure, line.left_out);
            tracing::warn!(%route, why, left_out, "a route cannot be started");
        }
    }
    let outcomes = scope.database().report_statuses(failed).await;
    let outcomes = outcomes.map_err(|error| store(&error))?;
    // Any other refusal means that the route has ended or runs already: nothing is to be done.
    let mut refusals = outcomes.into_iter().filter_map(Result::err);
    match refusals.any(|error: ReportError| error.may_pass()) {
        true => Err(store(&StoreError::LockTimeout)),
        false => Ok(()),
    }
}

/// Of all secrets of one replica: a process takes a few MiB of environment in all.
const MAX_BYTES: usize = 256 * 1024;
