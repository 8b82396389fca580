//! `TrafficService`.

use super::{
    super::{
        case::{Case, case, done, invalid, no_deployment},
        contract_env::InitialState,
    },
    named,
};

pub(super) fn cases() -> Vec<Case> {
    [get(), watch()].concat()
}

fn get() -> Vec<Case> {
    const METHOD: &str = "GetTraffic";
    let mut cases = named(METHOD, "");
    cases.extend([
        case(
            METHOD,
            "serving",
            InitialState::Gate,
            r#"{"deployment":"$ref"}"#,
            done(&[
                ("/table/project", "contract"),
                ("/table/name", "$name"),
                ("/table/protocol", "DEPLOYMENT_PROTOCOL_HTTP1"),
                ("/table/revisionId", "$current"),
                ("/table/endpoints", "1 items"),
                ("/table/endpoints/0/routeId", "$route"),
            ]),
        ),
        case(
            METHOD,
            "gone",
            InitialState::Gone,
            r#"{"deployment":"$id"}"#,
            done(&[
                ("/table/deploymentId", "$id"),
                ("/table/revisionId", ""),
                ("/table/endpoints", ""),
            ]),
        ),
    ]);
    cases
}

fn watch() -> Vec<Case> {
    const METHOD: &str = "WatchTraffic";
    let on = |name, initial, request: &str, outcome| case(METHOD, name, initial, request, outcome);
    let many = format!(
        r#"{{"deployments":[{}"$ref"]}}"#,
        r#""$ref","#.repeat(1_000)
    );
    vec![
        on(
            "some",
            InitialState::Ready,
            r#"{"deployments":["$ref","$id"]}"#,
            done(&[("/table/deploymentId", "$id")]),
        ),
        on("all", InitialState::Ready, r#"{"all":true}"#, done(&[])),
        on(
            "neither",
            InitialState::Nothing,
            "{}",
            invalid(&["deployments"]),
        ),
        on(
            "both",
            InitialState::Ready,
            r#"{"deployments":["$ref"],"all":true}"#,
            invalid(&["deployments"]),
        ),
        on(
            "malformed references",
            InitialState::Ready,
            r#"{"deployments":["$ref","web","a/b/c"]}"#,
            invalid(&["deployments[1]", "deployments[2]"]),
        ),
        on(
            "too many",
            InitialState::Ready,
            &many,
            invalid(&["deployments"]),
        ),
        on(
            "unknown name",
            InitialState::Nothing,
            r#"{"deployments":["$ref"]}"#,
            no_deployment("$ref"),
        ),
        on(
            "unknown id",
            InitialState::Ready,
            r#"{"deployments":["$ref","$unknown"]}"#,
            no_deployment("$unknown"),
        ),
    ]
}
