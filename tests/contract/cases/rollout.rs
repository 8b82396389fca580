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
                    ("deploying_revision_number", "2"),
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
    let expecting = |name, initial, revision: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id","expectedRevision":"{revision}"}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Gate, ""));
    cases.extend([
        expecting(
            "the revision that was seen",
            InitialState::Gate,
            "2",
            done(&[
                ("/deployment/lastRollout/outcome", "ROLLOUT_OUTCOME_ABORTED"),
                ("/deployment/lastRollout/revisionNumber", "2"),
            ]),
        ),
        expecting(
            "another revision",
            InitialState::Gate,
            "1",
            aborted(
                "REVISION_MISMATCH",
                &[
                    ("expected_revision_id", "$current"),
                    ("deploying_revision_id", "$deploying"),
                    ("deploying_revision_number", "2"),
                ],
            ),
        ),
        expecting(
            "another revision, and nothing is deployed",
            InitialState::Ready,
            "1",
            wrong_state(&["NOT_DEPLOYING"]),
        ),
        expecting(
            "malformed revision",
            InitialState::Gate,
            "two",
            invalid(&["expected_revision"]),
        ),
        expecting(
            "unknown revision",
            InitialState::Gate,
            "7",
            no_revision("7"),
        ),
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
            done(&[
                ("/instant", "true"),
                ("/keptRouteIds", "1 items"),
                ("/revisionNumber", "1"),
                ("/deployment/currentRevisionNumber", "1"),
            ]),
        ),
        on(
            "to what is not",
            InitialState::Promoted,
            "",
            done(&[
                ("/instant", ""),
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DEPLOYING"),
                ("/keptRouteIds", ""),
                ("/revisionNumber", "1"),
            ]),
        ),
        on(
            "with the gates of the policy",
            InitialState::Retained,
            r#","gated":true"#,
            done(&[
                ("/instant", ""),
                ("/keptRouteIds", "1 items"),
                ("/deployment/deployingRevisionNumber", "1"),
            ]),
        ),
        on(
            "only to look",
            InitialState::Retained,
            r#","validateOnly":true"#,
            done(&[
                ("/instant", "true"),
                ("/keptRouteIds", "1 items"),
                ("/revisionNumber", "1"),
                ("/blockers", ""),
                ("/deployment/currentRevisionNumber", "2"),
            ]),
        ),
        on(
            "only to look at what it would wait for",
            InitialState::Promoted,
            r#","validateOnly":true"#,
            done(&[
                ("/instant", ""),
                ("/blockers/0/code", "BLOCKER_CODE_GREEN_PROVISIONING"),
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY"),
            ]),
        ),
        on(
            "only to look, and nothing is before",
            InitialState::Ready,
            r#","validateOnly":true"#,
            wrong_state(&["NO_PREVIOUS_REVISION"]),
        ),
        on(
            "from the revision that was seen",
            InitialState::Retained,
            r#","expectedRevision":"2""#,
            done(&[("/instant", "true")]),
        ),
        on(
            "from another revision",
            InitialState::Retained,
            r#","expectedRevision":"1""#,
            refusal(
                Code::Aborted,
                "REVISION_MISMATCH",
                Details::Metadata(&[
                    ("current_revision_id", "$current"),
                    ("current_revision_number", "2"),
                ]),
            ),
        ),
        on(
            "malformed expected revision",
            InitialState::Promoted,
            r#","expectedRevision":"two""#,
            invalid(&["expected_revision"]),
        ),
        on(
            "unknown expected revision",
            InitialState::Promoted,
            r#","expectedRevision":"7""#,
            no_revision("7"),
        ),
        on(
            "after a rollout that was aborted",
            InitialState::Aborted,
            "",
            wrong_state(&["ALREADY_ROLLED_BACK"]),
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
            "during a rollout",
            InitialState::Gate,
            r#","expectedRevision":"2""#,
            done(&[
                ("/instant", "true"),
                ("/revisionNumber", "1"),
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY"),
            ]),
        ),
        on(
            "while it rolls back",
            InitialState::RollingBack,
            "",
            wrong_state(&["ROLLING_BACK"]),
        ),
        on(
            "to what is being deployed",
            InitialState::Gate,
            r#","revision":"2""#,
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
