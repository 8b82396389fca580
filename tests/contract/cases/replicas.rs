//! Restart a deployment, and drain one of its routes.

use tonic::Code;

use super::{
    super::{
        case::{Case, Details, aborted, case, done, invalid, refusal, wrong_state},
        contract_env::InitialState,
    },
    named, terms, terms_on_one,
};

pub(super) fn cases() -> Vec<Case> {
    [restart(), drain_route()].concat()
}

fn restart() -> Vec<Case> {
    const METHOD: &str = "RestartDeployment";
    let on =
        |name, initial, outcome| case(METHOD, name, initial, r#"{"deployment":"$id"}"#, outcome);
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Ready, ""));
    cases.extend([
        on(
            "while it serves",
            InitialState::Ready,
            done(&[
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY"),
                ("/deployment/currentRevisionId", "$current"),
                ("/deployment/blockers/0/code", "BLOCKER_CODE_RESTARTING"),
            ]),
        ),
        on(
            "before it serves",
            InitialState::Pending,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_PENDING")]),
        ),
        on(
            "no revision",
            InitialState::Idle,
            wrong_state(&["NO_REVISION"]),
        ),
        on(
            "in a pause",
            InitialState::ReadyPaused,
            wrong_state(&["PAUSED"]),
        ),
        on(
            "while a revision is deployed",
            InitialState::Gate,
            wrong_state(&["ROLLOUT_UNDER_WAY"]),
        ),
        on(
            "rolling back",
            InitialState::RollingBack,
            wrong_state(&["ROLLOUT_UNDER_WAY"]),
        ),
        on(
            "gone",
            InitialState::Gone,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
    ]);
    cases
}

fn drain_route() -> Vec<Case> {
    const METHOD: &str = "DrainRoute";
    let on = |name, initial, route: &str, outcome| {
        let request = format!(r#"{{"routeId":"{route}"}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = terms(METHOD, InitialState::Ready, r#""routeId":"$route","#);
    cases.extend([
        on(
            "of a route that serves",
            InitialState::Ready,
            "$route",
            done(&[("/deployment/blockers/0/code", "BLOCKER_CODE_RESTARTING")]),
        ),
        on(
            "once more",
            InitialState::Ready,
            "$route",
            done(&[("/deployment/blockers/0/code", "BLOCKER_CODE_RESTARTING")]),
        )
        .after(r#"{"routeId":"$route"}"#),
        on(
            "no route",
            InitialState::Nothing,
            "",
            invalid(&["route_id"]),
        ),
        on(
            "malformed route",
            InitialState::Nothing,
            "mine",
            invalid(&["route_id"]),
        ),
        on(
            "unknown route",
            InitialState::Nothing,
            "$unknown",
            refusal(
                Code::NotFound,
                "ROUTE_NOT_FOUND",
                Details::Resource("viridian.Route", "$unknown"),
            ),
        ),
        on(
            "of a route that is ending",
            InitialState::Gone,
            "$route",
            wrong_state(&["ROUTE_NOT_LIVE"]),
        ),
        case(
            METHOD,
            "another generation",
            InitialState::Ready,
            r#"{"routeId":"$route","expectedGeneration":"0"}"#,
            aborted(
                "GENERATION_MISMATCH",
                &[("expected_generation", "0"), ("generation", "$generation")],
            ),
        ),
    ]);
    cases
}
