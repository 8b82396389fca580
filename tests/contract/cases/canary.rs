//! Advance.

use super::{
    super::{
        case::{Case, aborted, case, done, invalid, no_revision, wrong_state},
        contract_env::InitialState,
    },
    named, terms_on_one,
};

pub(super) fn cases() -> Vec<Case> {
    const METHOD: &str = "AdvanceDeployment";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id"{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Step, ""));
    cases.extend([
        on(
            "the step that was seen",
            InitialState::Step,
            r#","expectedRevision":"2","expectedStep":1,"expectedGeneration":"$generation""#,
            done(&[
                ("/deployment/deployingRevisionId", "$deploying"),
                ("/deployment/step", "1"),
                ("/deployment/split/weightPermille", "100"),
            ]),
        ),
        on(
            "to the last step",
            InitialState::Step,
            r#","toLast":true"#,
            done(&[("/deployment/step", "1")]),
        ),
        on(
            "another step",
            InitialState::Step,
            r#","expectedStep":2"#,
            aborted("STEP_MISMATCH", &[("expected_step", "2"), ("step", "1")]),
        ),
        on(
            "no step",
            InitialState::Step,
            r#","expectedStep":11"#,
            invalid(&["expected_step"]),
        ),
        on(
            "malformed revision",
            InitialState::Step,
            r#","expectedRevision":"two""#,
            invalid(&["expected_revision"]),
        ),
        on(
            "unknown revision",
            InitialState::Step,
            r#","expectedRevision":"7""#,
            no_revision("7"),
        ),
        on(
            "another revision",
            InitialState::Step,
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
            "no step is held yet",
            InitialState::NoStepYet,
            "",
            wrong_state(&["STEP_NOT_HELD"]),
        ),
        on(
            "paused",
            InitialState::StepPaused,
            "",
            wrong_state(&["PAUSED"]),
        ),
        on(
            "blue-green",
            InitialState::Gate,
            "",
            wrong_state(&["NOT_CANARY"]),
        ),
        on(
            "nothing is deployed",
            InitialState::Ready,
            "",
            wrong_state(&["NOT_DEPLOYING"]),
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
