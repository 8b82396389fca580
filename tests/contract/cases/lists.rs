//! The lists, and the watch.

use super::{
    super::{
        case::{Case, case, done, invalid, no_deployment, no_revision},
        scene::Scene,
    },
    named,
};

pub(super) fn cases() -> Vec<Case> {
    [deployments(), revisions(), routes(), history(), watch()].concat()
}

fn deployments() -> Vec<Case> {
    const METHOD: &str = "ListDeployments";
    let on = |name, scene, request, outcome| case(METHOD, name, scene, request, outcome);
    vec![
        on(
            "by everything",
            Scene::Gate,
            r#"{"project":"contract","lifecycles":["DEPLOYMENT_LIFECYCLE_DEPLOYING"],
                "subSteps":["DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION"],"labelSelector":"!a","pageSize":1}"#,
            done(&[
                ("/deployments", "1 items"),
                ("/deployments/0/lifecycle", "DEPLOYMENT_LIFECYCLE_DEPLOYING"),
            ]),
        ),
        on(
            "next page",
            Scene::Idle,
            r#"{"project":"contract","pageSize":1,"pageToken":"$token"}"#,
            done(&[("/deployments", "1 items")]),
        )
        .after(r#"{"project":"contract","pageSize":1}"#),
        on(
            "everything wrong",
            Scene::Nothing,
            r#"{"project":"a b","lifecycles":["DEPLOYMENT_LIFECYCLE_READY",0],"subSteps":[9],
                "labelSelector":"a b","pageSize":501,"pageToken":"?"}"#,
            invalid(&[
                "label_selector",
                "lifecycles[1]",
                "page_size",
                "page_token",
                "project",
                "sub_steps[0]",
            ]),
        ),
        on(
            "selector that is too long",
            Scene::Nothing,
            r#"{"labelSelector":"$long"}"#,
            invalid(&["label_selector"]),
        ),
        on(
            "negative page size",
            Scene::Nothing,
            r#"{"pageSize":-1}"#,
            invalid(&["page_size"]),
        ),
        on(
            "token of other filters",
            Scene::Idle,
            r#"{"project":"other","pageSize":1,"pageToken":"$token"}"#,
            invalid(&["page_token"]),
        )
        .after(r#"{"project":"contract","pageSize":1}"#),
    ]
}

fn revisions() -> Vec<Case> {
    const METHOD: &str = "ListRevisions";
    let mut cases = named(METHOD, "");
    cases.extend(pages(METHOD, Scene::Recorded));
    cases.push(case(
        METHOD,
        "newest first",
        Scene::Recorded,
        r#"{"deployment":"$ref"}"#,
        done(&[("/revisions", "2 items"), ("/revisions/0/number", "2")]),
    ));
    cases
}

fn routes() -> Vec<Case> {
    const METHOD: &str = "ListRoutes";
    let on = |name, scene, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$ref",{fields}}}"#);
        case(METHOD, name, scene, request, outcome)
    };
    let mut cases = named(METHOD, "");
    cases.extend(pages(METHOD, Scene::Gate));
    cases.extend([
        on(
            "of one revision",
            Scene::Gate,
            r#""revision":"2""#,
            done(&[
                ("/routes", "1 items"),
                ("/routes/0/revisionId", "$deploying"),
            ]),
        ),
        on(
            "in one status",
            Scene::Provisioning,
            r#""statuses":["ROUTE_STATUS_PROVISIONING"]"#,
            done(&[("/routes", "1 items")]),
        ),
        on(
            "unknown status",
            Scene::Ready,
            r#""statuses":[0,9]"#,
            invalid(&["statuses[0]", "statuses[1]"]),
        ),
        on(
            "malformed revision",
            Scene::Ready,
            r#""revision":"two""#,
            invalid(&["revision"]),
        ),
        on(
            "unknown revision",
            Scene::Ready,
            r#""revision":"7""#,
            no_revision("7"),
        ),
    ]);
    cases
}

fn history() -> Vec<Case> {
    const METHOD: &str = "ListHistory";
    let mut cases = named(METHOD, "");
    cases.extend(pages(METHOD, Scene::Ready));
    cases.push(case(
        METHOD,
        "newest first",
        Scene::Idle,
        r#"{"deployment":"$ref"}"#,
        done(&[("/entries", "1 items"), ("/entries/0/phase", "CREATE")]),
    ));
    cases
}

fn watch() -> Vec<Case> {
    const METHOD: &str = "WatchDeployments";
    let on = |name, scene, request: &str, outcome| case(METHOD, name, scene, request, outcome);
    let many = format!(r#"{{"deployments":[{}"$ref"]}}"#, r#""$ref","#.repeat(100));
    vec![
        on(
            "some",
            Scene::Gate,
            r#"{"deployments":["$ref","$id"]}"#,
            done(&[
                ("/event/kind", "DEPLOYMENT_EVENT_KIND_SNAPSHOT"),
                ("/event/deployment/id", "$id"),
            ]),
        ),
        on(
            "all of a project",
            Scene::Idle,
            r#"{"project":"contract"}"#,
            done(&[("/event/kind", "DEPLOYMENT_EVENT_KIND_SNAPSHOT")]),
        ),
        on("nothing", Scene::Nothing, "{}", invalid(&["deployments"])),
        on(
            "both",
            Scene::Idle,
            r#"{"deployments":["$ref"],"project":"contract"}"#,
            invalid(&["project"]),
        ),
        on(
            "everything wrong",
            Scene::Nothing,
            r#"{"deployments":["web"],"project":"a b","resumeToken":"?"}"#,
            invalid(&["deployments[0]", "project", "project", "resume_token"]),
        ),
        on("too many", Scene::Idle, &many, invalid(&["deployments"])),
        on(
            "unknown name",
            Scene::Nothing,
            r#"{"deployments":["$ref"]}"#,
            no_deployment("$ref"),
        ),
        on(
            "unknown id",
            Scene::Idle,
            r#"{"deployments":["$ref","$unknown"]}"#,
            no_deployment("$unknown"),
        ),
        on(
            "token of another watch",
            Scene::Idle,
            r#"{"project":"contract","resumeToken":"$token"}"#,
            invalid(&["resume_token"]),
        )
        .after(r#"{"deployments":["$id"]}"#),
    ]
}

/// What every list of one deployment's rows has. There are two rows or more.
fn pages(method: &'static str, scene: Scene) -> Vec<Case> {
    let first = r#"{"deployment":"$ref","pageSize":1}"#;
    let next = r#"{"deployment":"$ref","pageSize":1,"pageToken":"$token"}"#;
    let other = r#"{"deployment":"$id","pageSize":1,"pageToken":"$token"}"#;
    vec![
        case(method, "next page", scene, next, done(&[])).after(first),
        case(
            method,
            "token of another list",
            scene,
            other,
            invalid(&["page_token"]),
        )
        .after(first),
        case(
            method,
            "malformed page",
            scene,
            r#"{"deployment":"$ref","pageSize":501,"pageToken":"?"}"#,
            invalid(&["page_size", "page_token"]),
        ),
    ]
}
