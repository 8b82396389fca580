//! `RouteService`.

use super::super::{
    case::{Case, case, done, invalid},
    contract_env::InitialState,
};

pub(super) fn cases() -> Vec<Case> {
    [
        assignments("ListAssignments", "/assignments/0"),
        assignments("WatchAssignments", "/assignment"),
        list(),
        routes("RouteService.ListRoutes", "/routes/0"),
        routes("WatchRoutes", "/route"),
        statuses(),
        health(),
    ]
    .concat()
}

fn assignments(method: &'static str, place: &'static str) -> Vec<Case> {
    let found: &'static [_] = match place {
        "/assignment" => &[
            ("/assignment/route/id", "$route"),
            ("/assignment/revision/number", "1"),
        ],
        _ => &[
            ("/assignments", "1 items"),
            ("/assignments/0/route/id", "$route"),
        ],
    };
    vec![
        case(
            method,
            "one to start",
            InitialState::Pending,
            r#"{"resourceGroup":"$name"}"#,
            done(found),
        ),
        case(
            method,
            "group that is too long",
            InitialState::Nothing,
            r#"{"resourceGroup":"$long"}"#,
            invalid(&["resource_group"]),
        ),
        case(
            method,
            "group with NUL",
            InitialState::Nothing,
            r#"{"resourceGroup":"\u0000"}"#,
            invalid(&["resource_group"]),
        ),
    ]
}

fn list() -> Vec<Case> {
    const METHOD: &str = "ListAssignments";
    vec![
        case(
            METHOD,
            "too many",
            InitialState::Nothing,
            r#"{"pageSize":501}"#,
            invalid(&["page_size"]),
        ),
        case(
            METHOD,
            "fewer than none",
            InitialState::Nothing,
            r#"{"pageSize":-1}"#,
            invalid(&["page_size"]),
        ),
    ]
}

fn routes(method: &'static str, place: &'static str) -> Vec<Case> {
    let found: &'static [_] = match place {
        "/route" => &[
            ("/route/route/id", "$route"),
            ("/route/revisionNumber", "1"),
            ("/route/deployment/project", "contract"),
        ],
        _ => &[
            ("/routes", "1 items"),
            ("/routes/0/route/id", "$route"),
            ("/routes/0/healthCheck/path", "/"),
        ],
    };
    let (other, field) = match place {
        "/route" => (r#"{"resumeToken":"x"}"#, &["resume_token"]),
        _ => (r#"{"pageToken":"x"}"#, &["page_token"]),
    };
    vec![
        case(
            method,
            "one to start",
            InitialState::Pending,
            r#"{"resourceGroup":"$name"}"#,
            done(found),
        ),
        case(
            method,
            "group that is too long",
            InitialState::Nothing,
            r#"{"resourceGroup":"$long"}"#,
            invalid(&["resource_group"]),
        ),
        case(
            method,
            "status that there is not",
            InitialState::Nothing,
            r#"{"statuses":[99]}"#,
            invalid(&["statuses[0]"]),
        ),
        case(
            method,
            "token of nobody",
            InitialState::Nothing,
            other,
            invalid(field),
        ),
    ]
}

fn statuses() -> Vec<Case> {
    const METHOD: &str = "ReportRouteStatuses";
    let on = |name, initial, reports: &str, outcome| {
        case(
            METHOD,
            name,
            initial,
            format!(r#"{{"reports":[{reports}]}}"#),
            outcome,
        )
    };
    let running = r#"{"routeId":"$route","status":"ROUTE_STATUS_RUNNING","address":"127.0.0.1:1"}"#;
    vec![
        on(
            "runs",
            InitialState::Pending,
            running,
            done(&[
                ("/results/0/applied", "true"),
                ("/results/0/routeId", "$route"),
            ]),
        ),
        on(
            "no such move",
            InitialState::Ready,
            r#"{"routeId":"$route","status":"ROUTE_STATUS_FAILED_TO_START"}"#,
            done(&[("/results", "1 items"), ("/results/0/applied", "")]),
        ),
        on(
            "unknown route beside another",
            InitialState::Pending,
            &format!(r#"{{"routeId":"$unknown","status":"ROUTE_STATUS_RUNNING"}},{running}"#),
            done(&[("/results/0/applied", ""), ("/results/1/applied", "true")]),
        ),
        on(
            "everything wrong",
            InitialState::Pending,
            r#"{"routeId":"r","status":"ROUTE_STATUS_PROVISIONING","sessionId":"$long"},{"routeId":"$route"}"#,
            invalid(&[
                "reports[0].route_id",
                "reports[0].session_id",
                "reports[0].status",
                "reports[1].status",
            ]),
        ),
        on(
            "too many",
            InitialState::Pending,
            &vec![running; 1_001].join(","),
            invalid(&["reports"]),
        ),
    ]
}

fn health() -> Vec<Case> {
    const METHOD: &str = "ReportRouteHealth";
    let on = |name, initial, reports: &str, outcome| {
        case(
            METHOD,
            name,
            initial,
            format!(r#"{{"reports":[{reports}]}}"#),
            outcome,
        )
    };
    let healthy = r#"{"routeId":"$route","health":"ROUTE_HEALTH_STATUS_HEALTHY"}"#;
    vec![
        on(
            "healthy",
            InitialState::Pending,
            healthy,
            done(&[("/results/0/applied", "true")]),
        ),
        on(
            "unknown route",
            InitialState::Pending,
            r#"{"routeId":"$unknown","health":"ROUTE_HEALTH_STATUS_HEALTHY"}"#,
            done(&[("/results", "1 items"), ("/results/0/applied", "")]),
        ),
        on(
            "everything wrong",
            InitialState::Pending,
            r#"{"health":9},{"routeId":"$route"}"#,
            invalid(&[
                "reports[0].health",
                "reports[0].route_id",
                "reports[1].health",
            ]),
        ),
        on(
            "too many",
            InitialState::Pending,
            &vec![healthy; 1_001].join(","),
            invalid(&["reports"]),
        ),
    ]
}
