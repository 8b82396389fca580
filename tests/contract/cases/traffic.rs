//! `TrafficService`.

use super::{
    super::{
        case::{Case, case, done, invalid, no_deployment},
        scene::Scene,
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
            Scene::Gate,
            r#"{"deployment":"$ref"}"#,
            done(&[
                ("/table/revisionId", "$current"),
                ("/table/endpoints", "1 items"),
                ("/table/endpoints/0/routeId", "$route"),
            ]),
        ),
        case(
            METHOD,
            "gone",
            Scene::Gone,
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
    let on = |name, scene, request: &str, outcome| case(METHOD, name, scene, request, outcome);
    let many = format!(
        r#"{{"deployments":[{}"$ref"]}}"#,
        r#""$ref","#.repeat(1_000)
    );
    vec![
        on(
            "some",
            Scene::Ready,
            r#"{"deployments":["$ref","$id"]}"#,
            done(&[("/table/deploymentId", "$id")]),
        ),
        on("all", Scene::Ready, r#"{"all":true}"#, done(&[])),
        on("neither", Scene::Nothing, "{}", invalid(&["deployments"])),
        on(
            "both",
            Scene::Ready,
            r#"{"deployments":["$ref"],"all":true}"#,
            invalid(&["deployments"]),
        ),
        on(
            "malformed references",
            Scene::Ready,
            r#"{"deployments":["$ref","web","a/b/c"]}"#,
            invalid(&["deployments[1]", "deployments[2]"]),
        ),
        on("too many", Scene::Ready, &many, invalid(&["deployments"])),
        on(
            "unknown name",
            Scene::Nothing,
            r#"{"deployments":["$ref"]}"#,
            no_deployment("$ref"),
        ),
        on(
            "unknown id",
            Scene::Ready,
            r#"{"deployments":["$ref","$unknown"]}"#,
            no_deployment("$unknown"),
        ),
    ]
}
