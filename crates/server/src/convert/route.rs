//! Routes, reports and assignments.

use viridian_proto::v1;
use viridian_store::{
    Action, Assignment, DeploymentSummary, GroupRoute, HealthReport, ReportError, Revision, Route,
    RouteAddress, StatusReport,
};
use viridian_strategy::{RouteHealth, RouteId, RouteStatus, RouteTraffic};

use super::{
    Violations,
    deployment::metadata,
    revision::{EnvironValues, health_check, revision},
    time::{parse_timestamp, timestamp},
};

/// A route, to the wire.
pub(crate) fn route(route: Route) -> v1::Route {
    let view = route.view;
    v1::Route {
        id: view.id.to_string(),
        deployment_id: route.deployment.to_string(),
        revision_id: view.revision.to_string(),
        status: status(view.status).into(),
        health: health(view.health).into(),
        traffic_status: traffic(view.traffic).into(),
        traffic_ratio: view.traffic.ratio(),
        session_id: route.session_id,
        address: route.address.map_or_else(String::new, |at| at.to_string()),
        failure: route.failure,
        retained: view.status.is_active() && view.retained_at.is_some(),
        create_time: Some(timestamp(view.created_at)),
        status_update_time: Some(timestamp(view.status_updated_at)),
        health_update_time: view.health_updated_at.map(timestamp),
        health_detail: route.health_detail,
        // Only ListRoutes shows it, and adds it: it is not in the row of the route.
        last_report_time: None,
    }
}

/// An assignment, to the wire, with the revision that its route runs.
pub(crate) fn assignment(assignment: &Assignment, of: &Revision) -> v1::Assignment {
    v1::Assignment {
        action: match assignment.action {
            Action::Start => v1::AssignmentAction::Start,
            Action::Stop => v1::AssignmentAction::Stop,
        }
        .into(),
        route: Some(route(assignment.route.clone())),
        // A replica cannot run without the values.
        revision: Some(revision(of.clone(), EnvironValues::Given)),
        deployment: Some(summary(&assignment.deployment)),
        // Added when it is handed out.
        secret_environ: [].into(),
    }
}

/// A route of a resource group, to the wire.
pub(crate) fn group_route(of: &GroupRoute) -> v1::GroupRoute {
    v1::GroupRoute {
        route: Some(route(of.route.clone())),
        revision_number: of.revision.number,
        health_check: Some(health_check(of.revision.health_check.clone())),
        deployment: Some(summary(&of.deployment)),
    }
}

/// What describes a deployment, to the wire.
fn summary(summary: &DeploymentSummary) -> v1::DeploymentSummary {
    v1::DeploymentSummary {
        id: summary.id.to_string(),
        project: summary.project.clone(),
        name: summary.name.clone(),
        labels: summary.labels.clone(),
        metadata: Some(metadata(summary.metadata.clone())),
    }
}

/// The result of one report, to the wire.
pub(crate) fn result(route_id: String, result: Result<(), ReportError>) -> v1::ReportResult {
    let error = result.err();
    v1::ReportResult {
        route_id,
        applied: error.is_none(),
        error: error.map(|error| error.to_string()).unwrap_or_default(),
        retry: error.is_some_and(|error| error.may_pass()),
    }
}

/// Reports of status from the wire.
pub(crate) fn parse_statuses(
    reports: &[v1::RouteStatusReport],
    violations: &mut Violations,
) -> Vec<StatusReport> {
    check_count(reports.len(), violations);
    let parse = |(index, report): (usize, &v1::RouteStatusReport)| {
        let id = violations.uuid(&format!("reports[{index}].route_id"), &report.route_id);
        let status = parse_status(report.status());
        if status.is_none_or(|status| status == RouteStatus::Provisioning) {
            violations.add(
                format!("reports[{index}].status"),
                "must be RUNNING, FAILED_TO_START, TERMINATING or TERMINATED",
            );
        }
        let session_id = &report.session_id;
        violations.text(
            &format!("reports[{index}].session_id"),
            session_id,
            MAX_TEXT,
        );
        StatusReport {
            route: RouteId(id),
            // A stand-in: the violation refuses the request.
            status: status.unwrap_or(RouteStatus::Running),
            session_id: report.session_id.clone(),
            // An address that is none refuses its own report, and not the whole batch.
            address: (!report.address.is_empty()).then(|| RouteAddress::parse(&report.address)),
            failure: sentence(&report.failure, MAX_FAILURE),
        }
    };
    reports
        .iter()
        .take(MAX_REPORTS)
        .enumerate()
        .map(parse)
        .collect()
}

/// Reports of health from the wire.
pub(crate) fn parse_healths(
    reports: &[v1::RouteHealthReport],
    violations: &mut Violations,
) -> Vec<HealthReport> {
    check_count(reports.len(), violations);
    let parse = |(index, report): (usize, &v1::RouteHealthReport)| {
        let id = violations.uuid(&format!("reports[{index}].route_id"), &report.route_id);
        let health = parse_health(report.health());
        if health.is_none() {
            violations.add(
                format!("reports[{index}].health"),
                "must be NOT_CHECKED, HEALTHY, UNHEALTHY or DEGRADED",
            );
        }
        let session_id = &report.session_id;
        violations.text(
            &format!("reports[{index}].session_id"),
            session_id,
            MAX_TEXT,
        );
        let observed_at = format!("reports[{index}].observed_at");
        HealthReport {
            route: RouteId(id),
            // A stand-in: the violation refuses the request.
            health: health.unwrap_or(RouteHealth::NotChecked),
            observed_at: parse_timestamp(&observed_at, report.observed_at.as_ref(), violations),
            session_id: session_id.clone(),
            detail: sentence(&report.detail, MAX_HEALTH_DETAIL),
        }
    };
    reports
        .iter()
        .take(MAX_REPORTS)
        .enumerate()
        .map(parse)
        .collect()
}

/// The statuses of a list, each once.
pub(crate) fn parse_status_filter(wire: &[i32], violations: &mut Violations) -> Vec<RouteStatus> {
    let mut statuses = Vec::new();
    for (index, status) in wire.iter().enumerate() {
        let known = v1::RouteStatus::try_from(*status).ok();
        match known.and_then(parse_status) {
            Some(status) if statuses.contains(&status) => {}
            Some(status) => statuses.push(status),
            None => violations.add(format!("statuses[{index}]"), "must be a status"),
        }
    }
    statuses
}

/// A status from the wire; none when it is not set.
fn parse_status(wire: v1::RouteStatus) -> Option<RouteStatus> {
    match wire {
        v1::RouteStatus::Unspecified => None,
        v1::RouteStatus::Provisioning => Some(RouteStatus::Provisioning),
        v1::RouteStatus::Running => Some(RouteStatus::Running),
        v1::RouteStatus::Terminating => Some(RouteStatus::Terminating),
        v1::RouteStatus::Terminated => Some(RouteStatus::Terminated),
        v1::RouteStatus::FailedToStart => Some(RouteStatus::FailedToStart),
    }
}

fn parse_health(wire: v1::RouteHealthStatus) -> Option<RouteHealth> {
    match wire {
        v1::RouteHealthStatus::Unspecified => None,
        v1::RouteHealthStatus::NotChecked => Some(RouteHealth::NotChecked),
        v1::RouteHealthStatus::Healthy => Some(RouteHealth::Healthy),
        v1::RouteHealthStatus::Unhealthy => Some(RouteHealth::Unhealthy),
        v1::RouteHealthStatus::Degraded => Some(RouteHealth::Degraded),
    }
}

/// Why something failed comes from programs that were not checked: it is made to
/// fit, since a refusal would only lose it.
fn sentence(text: &str, max_bytes: usize) -> String {
    let end = text.floor_char_boundary(max_bytes);
    let whole = text[..end].replace('\0', "\u{fffd}");
    // The stand-in for NUL is longer than NUL.
    whole[..whole.floor_char_boundary(max_bytes)].to_owned()
}

fn check_count(count: usize, violations: &mut Violations) {
    violations.count("reports", count, MAX_REPORTS);
}

fn status(status: RouteStatus) -> v1::RouteStatus {
    match status {
        RouteStatus::Provisioning => v1::RouteStatus::Provisioning,
        RouteStatus::Running => v1::RouteStatus::Running,
        RouteStatus::Terminating => v1::RouteStatus::Terminating,
        RouteStatus::Terminated => v1::RouteStatus::Terminated,
        RouteStatus::FailedToStart => v1::RouteStatus::FailedToStart,
    }
}

fn health(health: RouteHealth) -> v1::RouteHealthStatus {
    match health {
        RouteHealth::NotChecked => v1::RouteHealthStatus::NotChecked,
        RouteHealth::Healthy => v1::RouteHealthStatus::Healthy,
        RouteHealth::Unhealthy => v1::RouteHealthStatus::Unhealthy,
        RouteHealth::Degraded => v1::RouteHealthStatus::Degraded,
    }
}

fn traffic(traffic: RouteTraffic) -> v1::RouteTrafficStatus {
    match traffic {
        RouteTraffic::Active => v1::RouteTrafficStatus::Active,
        RouteTraffic::Inactive => v1::RouteTrafficStatus::Inactive,
    }
}

const MAX_REPORTS: usize = 1_000;
const MAX_TEXT: usize = 1_024;
const MAX_FAILURE: usize = 4_096;
const MAX_HEALTH_DETAIL: usize = 1_024;

#[cfg(test)]
mod tests {
    use uuid::Uuid;
    use viridian_strategy::DeploymentId;

    use super::*;

    #[test]
    fn says_which_reports_may_be_applied_later() {
        let of = DeploymentId(Uuid::nil());
        let retry = |error| result(String::new(), Err(error)).retry;
        assert!(retry(ReportError::Held(of)));
        assert!(!retry(ReportError::Over(RouteStatus::Terminated)));
        assert!(!result(String::new(), Ok(())).retry);
    }
}
