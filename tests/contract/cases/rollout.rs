//! Promote, abort and roll back.

use tonic::Code;

use super::{
    super::{
        case::{Case, Details, aborted, case, done, invalid, no_revision, refusal, wrong_state},
        contract_env::InitialState,
    },
    named, terms_on_one,
};

pub(super) fn cases() -> Vec<Case> {
    [promote(), abort(), roll_back()].concat()
}

fn promote() -> Vec<Case> {
    const METHOD: &str = "PromoteDeployment";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id"{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let blocked = |blockers| {
        let details = Details::Violations(blockers);
        refusal(Code::FailedPrecondition, "PROMOTION_BLOCKED", details)
    };
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Gate, ""));
    cases.extend([
        on(
            "at the gate",
            InitialState::Gate,
            r#","expectedRevision":"2","expectedGeneration":"$generation""#,
            done(&[
                ("/deployment/currentRevisionId", "$deploying"),
                ("/promotedRouteIds", "1 items"),
                ("/drainedRouteIds", "1 items"),
            ]),
        ),
        on(
            "only to look",
            InitialState::Gate,
            r#","validateOnly":true"#,
            done(&[
                ("/deployment/currentRevisionId", "$current"),
                ("/promotedRouteIds", "1 items"),
                ("/blockers", ""),
            ]),
        ),
        on(
            "only to look at what is in the way",
            InitialState::Provisioning,
            r#","validateOnly":true"#,
            done(&[
                ("/promotedRouteIds", ""),
                ("/blockers/0/code", "BLOCKER_CODE_GREEN_PROVISIONING"),
            ]),
        ),
        on(
            "only to look, and nothing is deployed",
            InitialState::Ready,
            r#","validateOnly":true"#,
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        on(
            "malformed revision",
            InitialState::Gate,
            r#","expectedRevision":"two""#,
            invalid(&["expected_revision"]),
        ),
        on(
            "unknown revision",
            InitialState::Gate,
            r#","expectedRevision":"7""#,
            no_revision("7"),
        ),
        on(
            "another revision",
            InitialState::Gate,
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
            InitialState::Provisioning,
            "",
            blocked(&["GREEN_PROVISIONING"]),
        ),
        on("paused", InitialState::Paused, "", blocked(&["PAUSED"])),
        on(
            "nothing is deployed",
            InitialState::Ready,
            "",
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        on(
            "rolling",
            InitialState::Rolling,
            "",
            wrong_state(&["NOT_BLUE_GREEN"]),
        ),
        on(
            "rolling back",
            InitialState::RollingBack,
            "",
            wrong_state(&["NOT_BLUE_GREEN"]),
        ),
        on(
            "gone",
            InitialState::Gone,
            "",
            wrong_state(&["NOT_DEPLOYING"]),
        ),
    ]);
    cases
}

fn abort() -> Vec<Case> {
    const METHOD: &str = "AbortDeployment";
    let on =
        |name, initial, outcome| case(METHOD, name, initial, r#"{"deployment":"$id"}"#, outcome);
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Gate, ""));
    cases.extend([
        on(
            "at the gate",
            InitialState::Gate,
            done(&[
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY"),
                ("/deployment/currentRevisionId", "$current"),
            ]),
        ),
        on(
            "paused",
            InitialState::Paused,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY")]),
        ),
        on(
            "nothing is deployed",
            InitialState::Ready,
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        on(
            "rolling back",
            InitialState::RollingBack,
            wrong_state(&["ROLLING_BACK"]),
        ),
        on("gone", InitialState::Gone, wrong_state(&["NOT_DEPLOYING"])),
    ]);
    cases
}

fn roll_back() -> Vec<Case> {
    const METHOD: &str = "RollbackDeployment";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id"{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Promoted, ""));
    cases.extend([
        on(
            "to what is retained",
            InitialState::Retained,
            "",
            done(&[("/instant", "true")]),
        ),
        on(
            "to what is not",
            InitialState::Promoted,
            "",
            done(&[
                ("/instant", ""),
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DEPLOYING"),
            ]),
        ),
        on(
            "to one that is named",
            InitialState::Retained,
            r#","revision":"1""#,
            done(&[("/instant", "true")]),
        ),
        on(
            "malformed revision",
            InitialState::Promoted,
            r#","revision":"two""#,
            invalid(&["revision"]),
        ),
        on(
            "unknown revision",
            InitialState::Promoted,
            r#","revision":"7""#,
            no_revision("7"),
        ),
        on(
            "current revision",
            InitialState::Promoted,
            r#","revision":"2""#,
            wrong_state(&["ALREADY_CURRENT"]),
        ),
        on(
            "nothing before",
            InitialState::Ready,
            "",
            wrong_state(&["NO_PREVIOUS_REVISION"]),
        ),
        on(
            "while another is deployed",
            InitialState::Gate,
            "",
            aborted(
                "DEPLOYMENT_IN_PROGRESS",
                &[("deploying_revision_id", "$deploying")],
            ),
        ),
        on(
            "gone",
            InitialState::Gone,
            r#","revision":"1""#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
    ]);
    cases
}
