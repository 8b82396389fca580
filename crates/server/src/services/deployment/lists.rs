//! The lists of `DeploymentService`.

use std::collections::HashMap;

use tonic::Status;
use viridian_proto::v1;
use viridian_store::{Deployment, DeploymentFilter, Route, RouteFilter};
use viridian_strategy::{DeploymentId, Lifecycle, RouteId};

use super::matching::matching;
use crate::{
    convert::{
        Violations,
        deployment::{deployment, parse_availability, parse_lifecycle, parse_sub_step},
        history::history_entry,
        reference::{check_name, parse_optional_revision},
        revision::revision,
        route::{parse_status_filter, route},
        time::timestamp,
    },
    error::store,
    paging::PageRequest,
    scope::Scope,
    selector::LabelSelector,
};

/// `ListDeployments`.
pub(super) async fn deployments(
    scope: &Scope,
    message: &v1::ListDeploymentsRequest,
) -> Result<v1::ListDeploymentsResponse, Status> {
    let mut violations = Violations::default();
    let mut filter = parse_filter(message, &mut violations);
    violations.text("label_selector", &message.label_selector, MAX_SELECTOR);
    let selector = LabelSelector::parse(&message.label_selector).unwrap_or_else(|why| {
        violations.add("label_selector", why);
        LabelSelector::default()
    });
    let mut states = format!("{:?} {:?}", message.lifecycles, message.sub_steps);
    // Only where it is asked for: tokens of earlier programs are about lists without it.
    if !message.availabilities.is_empty() {
        states += &format!(" {:?}", message.availabilities);
    }
    let query = [
        "deployments",
        message.project.as_str(),
        &states,
        &message.label_selector,
    ];
    let page = PageRequest::parse(
        message.page_size,
        &message.page_token,
        &query,
        scope.seal(),
        &mut violations,
    );
    violations.finish()?;
    filter.projects = scope.narrow(&message.project)?;
    let (ids, looked_up_to) = matching(scope, filter, &selector, &page).await?;
    let found = readable(scope, ids).await?;
    let mut page = page.builder();
    page.extend(found.into_iter().map(|it| (it.id.0, deployment(it))));
    page.looked_up_to(looked_up_to.map(|id| id.0));
    let (deployments, next_page_token) = page.finish();
    Ok(v1::ListDeploymentsResponse {
        deployments,
        next_page_token,
    })
}

/// `ListRevisions`.
pub(super) async fn revisions(
    scope: &Scope,
    message: &v1::ListRevisionsRequest,
) -> Result<v1::ListRevisionsResponse, Status> {
    let mut violations = Violations::default();
    let page = PageRequest::parse(
        message.page_size,
        &message.page_token,
        &["revisions", &message.deployment],
        scope.seal(),
        &mut violations,
    );
    let id = existing(scope, &message.deployment, violations).await?;
    let mut reader = scope.reader().await?;
    let mut page = page.builder();
    while let Some((after, limit)) = page.next_chunk() {
        let found = reader.list_revisions(id, after, limit).await;
        let found = found.map_err(|error| store(&error))?;
        let found = found.into_iter();
        page.extend(found.map(|it| (it.number, revision(it, scope.environ_values()))));
    }
    let (revisions, next_page_token) = page.finish();
    Ok(v1::ListRevisionsResponse {
        revisions,
        next_page_token,
    })
}

/// `ListRoutes`.
pub(super) async fn routes(
    scope: &Scope,
    message: &v1::ListRoutesRequest,
) -> Result<v1::ListRoutesResponse, Status> {
    let subject = &message.deployment;
    let mut violations = Violations::default();
    let statuses = parse_status_filter(&message.statuses, &mut violations);
    let revision = parse_optional_revision("revision", &message.revision, &mut violations);
    let query = [
        "routes",
        subject,
        &message.revision,
        &format!("{:?}", message.statuses),
    ];
    let page = PageRequest::parse(
        message.page_size,
        &message.page_token,
        &query,
        scope.seal(),
        &mut violations,
    );
    let id = existing(scope, subject, violations).await?;
    let revision = scope.find_revision(id, subject, revision).await?;
    let filter = RouteFilter {
        statuses,
        revision: revision.map(|revision| revision.id),
    };
    let found = scope
        .reader()
        .await?
        .list_routes(id, filter, page.after.map(RouteId), page.size)
        .await
        .map_err(|error| store(&error))?;
    let keys: Vec<_> = found.iter().map(|route| route.view.id.0).collect();
    let routes = with_last_reports(scope, found).await?;
    let mut page = page.builder();
    page.extend(keys.into_iter().zip(routes));
    let (routes, next_page_token) = page.finish();
    Ok(v1::ListRoutesResponse {
        routes,
        next_page_token,
    })
}

/// Routes, to the wire, with when something was last reported of each.
async fn with_last_reports(scope: &Scope, found: Vec<Route>) -> Result<Vec<v1::Route>, Status> {
    let ids = found.iter().map(|route| route.view.id).collect();
    let written = scope.reader().await?.find_last_reports(ids).await;
    let written: HashMap<_, _> = written
        .map_err(|error| store(&error))?
        .into_iter()
        .collect();
    // The later of two: what this server has in memory, and what any server has written down.
    let last = |id: RouteId| {
        scope
            .database()
            .unwritten_report(id)
            .max(written.get(&id).copied())
    };
    let to_wire = |found: Route| v1::Route {
        last_report_time: last(found.view.id).map(timestamp),
        ..route(found)
    };
    Ok(found.into_iter().map(to_wire).collect())
}

/// `ListHistory`.
pub(super) async fn history(
    scope: &Scope,
    message: &v1::ListHistoryRequest,
) -> Result<v1::ListHistoryResponse, Status> {
    let mut violations = Violations::default();
    let page = PageRequest::parse(
        message.page_size,
        &message.page_token,
        &["history", &message.deployment],
        scope.seal(),
        &mut violations,
    );
    let id = existing(scope, &message.deployment, violations).await?;
    let mut reader = scope.reader().await?;
    let mut page = page.builder();
    while let Some((after, limit)) = page.next_chunk() {
        let found = reader.list_history(id, after, limit).await;
        let found = found.map_err(|error| store(&error))?;
        page.extend(found.into_iter().map(|it| (it.number, history_entry(it))));
    }
    let (entries, next_page_token) = page.finish();
    Ok(v1::ListHistoryResponse {
        entries,
        next_page_token,
    })
}

/// Finds the deployment whose rows are listed: none has no rows, and yet is no
/// empty list.
async fn existing(
    scope: &Scope,
    subject: &str,
    violations: Violations,
) -> Result<DeploymentId, Status> {
    let id = scope.resolve(subject, violations).await?;
    scope.find(id, subject).await.map(|found| found.id)
}

/// What is named twice asks for nothing more.
fn add_once<T: PartialEq>(values: &mut Vec<T>, value: T) {
    if !values.contains(&value) {
        values.push(value);
    }
}

pub(crate) fn parse_filter(
    message: &v1::ListDeploymentsRequest,
    violations: &mut Violations,
) -> DeploymentFilter {
    if !message.project.is_empty() {
        check_name("project", &message.project, violations);
    }
    let mut filter = DeploymentFilter::default();
    // One that is not known may not fall away: what is left would ask for more.
    for (index, lifecycle) in message.lifecycles.iter().enumerate() {
        let known = v1::DeploymentLifecycle::try_from(*lifecycle).ok();
        match known.and_then(parse_lifecycle) {
            Some(lifecycle) => add_once(&mut filter.lifecycles, lifecycle),
            None => violations.add(format!("lifecycles[{index}]"), "must be a lifecycle"),
        }
    }
    for (index, sub_step) in message.sub_steps.iter().enumerate() {
        let known = v1::DeploymentSubStep::try_from(*sub_step).ok();
        match known.and_then(parse_sub_step) {
            Some(sub_step) => add_once(&mut filter.sub_steps, sub_step),
            None => violations.add(format!("sub_steps[{index}]"), "must be a sub-step"),
        }
    }
    for (index, availability) in message.availabilities.iter().enumerate() {
        let known = v1::DeploymentAvailability::try_from(*availability).ok();
        match known.and_then(parse_availability) {
            Some(availability) => add_once(&mut filter.availabilities, availability),
            None => violations.add(
                format!("availabilities[{index}]"),
                "must be an availability",
            ),
        }
    }
    if filter.lifecycles.is_empty() {
        // Deployments that are destroyed stay for the retention:
        // only those who ask for them get them.
        use Lifecycle::{Deploying, Destroying, Pending, Ready};
        filter.lifecycles = vec![Pending, Ready, Deploying, Destroying];
    }
    filter
}

/// One row that cannot be read must not make the list of all others fail.
async fn readable(scope: &Scope, ids: Vec<DeploymentId>) -> Result<Vec<Deployment>, Status> {
    let found = scope.reader().await?.find_deployments(ids).await;
    let found = found.map_err(|error| store(&error))?.into_iter();
    let readable = found.filter_map(|(_, row)| {
        row.inspect_err(|error| tracing::error!(%error, "left out of a list"))
            .ok()
    });
    Ok(readable.collect())
}

const MAX_SELECTOR: usize = 4_096;
