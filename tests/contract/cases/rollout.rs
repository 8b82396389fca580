//! Promote, abort and roll back.

use tonic::Code;

use super::{
    super::{
        case::{Case, Details, aborted, case, done, invalid, no_revision, refusal, wrong_state},
        scene::Scene,
    },
    named, terms_on_one,
};

pub(super) fn cases() -> Vec<Case> {
    [promote(), abort(), roll_back()].concat()
}

fn promote() -> Vec<Case> {
    const METHOD: &str = "PromoteDeployment";
    let on = |name, scene, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id"{fields}}}"#);
        case(METHOD, name, scene, request, outcome)
    };
    let blocked = |blockers| {
        let details = Details::Violations(blockers);
        refusal(Code::FailedPrecondition, "PROMOTION_BLOCKED", details)
    };
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, Scene::Gate, ""));
    cases.extend([
        on(
            "at the gate",
            Scene::Gate,
            r#","expectedRevision":"2","expectedGeneration":"$generation""#,
            done(&[
                ("/deployment/currentRevisionId", "$deploying"),
                ("/promotedRouteIds", "1 items"),
                ("/drainedRouteIds", "1 items"),
            ]),
        ),
        on(
            "only to look",
            Scene::Gate,
            r#","validateOnly":true"#,
            done(&[
                ("/deployment/currentRevisionId", "$current"),
                ("/promotedRouteIds", "1 items"),
                ("/blockers", ""),
            ]),
        ),
        on(
            "only to look at what is in the way",
            Scene::Provisioning,
            r#","validateOnly":true"#,
            done(&[
                ("/promotedRouteIds", ""),
                ("/blockers/0/code", "BLOCKER_CODE_GREEN_PROVISIONING"),
            ]),
        ),
        on(
            "only to look, and nothing is deployed",
            Scene::Ready,
            r#","validateOnly":true"#,
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        on(
            "malformed revision",
            Scene::Gate,
            r#","expectedRevision":"two""#,
            invalid(&["expected_revision"]),
        ),
        on(
            "unknown revision",
            Scene::Gate,
            r#","expectedRevision":"7""#,
            no_revision("7"),
        ),
        on(
            "another revision",
            Scene::Gate,
            r#","expectedRevision":"1""#,
            aborted(
                "REVISION_MISMATCH",
                &[
                    ("expected_revision_id", "$current"),
                    ("deploying_revision_id", "$deploying"),
                ],
            ),
        ),
        on(
            "not ready",
            Scene::Provisioning,
            "",
            blocked(&["GREEN_PROVISIONING"]),
        ),
        on("paused", Scene::Paused, "", blocked(&["PAUSED"])),
        on(
            "nothing is deployed",
            Scene::Ready,
            "",
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        on(
            "rolling",
            Scene::Rolling,
            "",
            wrong_state(&["NOT_BLUE_GREEN"]),
        ),
        on(
            "rolling back",
            Scene::RollingBack,
            "",
            wrong_state(&["NOT_BLUE_GREEN"]),
        ),
        on("gone", Scene::Gone, "", wrong_state(&["NOT_DEPLOYING"])),
    ]);
    cases
}

fn abort() -> Vec<Case> {
    const METHOD: &str = "AbortDeployment";
    let on = |name, scene, outcome| case(METHOD, name, scene, r#"{"deployment":"$id"}"#, outcome);
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, Scene::Gate, ""));
    cases.extend([
        on(
            "at the gate",
            Scene::Gate,
            done(&[
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY"),
                ("/deployment/currentRevisionId", "$current"),
            ]),
        ),
        on(
            "paused",
            Scene::Paused,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY")]),
        ),
        on(
            "nothing is deployed",
            Scene::Ready,
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        on(
            "rolling back",
            Scene::RollingBack,
            wrong_state(&["ROLLING_BACK"]),
        ),
        on("gone", Scene::Gone, wrong_state(&["NOT_DEPLOYING"])),
    ]);
    cases
}

fn roll_back() -> Vec<Case> {
    const METHOD: &str = "RollbackDeployment";
    let on = |name, scene, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id"{fields}}}"#);
        case(METHOD, name, scene, request, outcome)
    };
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, Scene::Promoted, ""));
    cases.extend([
        on(
            "to what is retained",
            Scene::Retained,
            "",
            done(&[("/instant", "true")]),
        ),
        on(
            "to what is not",
            Scene::Promoted,
            "",
            done(&[
                ("/instant", ""),
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DEPLOYING"),
            ]),
        ),
        on(
            "to one that is named",
            Scene::Retained,
            r#","revision":"1""#,
            done(&[("/instant", "true")]),
        ),
        on(
            "malformed revision",
            Scene::Promoted,
            r#","revision":"two""#,
            invalid(&["revision"]),
        ),
        on(
            "unknown revision",
            Scene::Promoted,
            r#","revision":"7""#,
            no_revision("7"),
        ),
        on(
            "current revision",
            Scene::Promoted,
            r#","revision":"2""#,
            wrong_state(&["ALREADY_CURRENT"]),
        ),
        on(
            "nothing before",
            Scene::Ready,
            "",
            wrong_state(&["NO_PREVIOUS_REVISION"]),
        ),
        on(
            "while another is deployed",
            Scene::Gate,
            "",
            aborted(
                "DEPLOYMENT_IN_PROGRESS",
                &[("deploying_revision_id", "$deploying")],
            ),
        ),
        on(
            "gone",
            Scene::Gone,
            r#","revision":"1""#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
    ]);
    cases
}
