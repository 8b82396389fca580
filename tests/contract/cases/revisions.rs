//! Create, get and activate revisions.

use super::{
    super::{
        case::{Case, aborted, case, done, invalid, no_revision, wrong_state},
        contract_env::InitialState,
    },
    named, terms_on_one,
};

pub(super) fn cases() -> Vec<Case> {
    [create(), get(), activate()].concat()
}

fn create() -> Vec<Case> {
    const METHOD: &str = "CreateRevision";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id",{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let image = r#","spec":{"image":"i"}"#;
    let activate = r#""spec":{"image":"i"},"activate":true"#;
    let mut cases = named(METHOD, image);
    cases.extend(terms_on_one(METHOD, InitialState::Ready, image));
    cases.extend([
        on("only recorded", InitialState::Ready, r#""spec":{"command":["c"]}"#,
            done(&[("/revision/number", "2"), ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY")])),
        on("activated", InitialState::Ready, activate,
            done(&[("/revision/number", "2"), ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DEPLOYING")])),
        on("nothing to run", InitialState::Ready, r#""reason":"none""#, invalid(&["spec"])),
        on("malformed spec", InitialState::Ready,
            r#""spec":{"command":[""],"environ":{"A=B":"c"},"resourceSlots":{"cpu":"\u0000"},
               "healthCheck":{"path":"x","interval":"0s","timeout":"-1s","initialDelay":"2678400s"}}"#,
            invalid(&["spec.command[0]", "spec.environ[\"A=B\"]", "spec.health_check.initial_delay",
                "spec.health_check.interval", "spec.health_check.path", "spec.health_check.timeout",
                "spec.resource_slots[\"cpu\"]"])),
        on("spec that is too large", InitialState::Ready,
            &format!(r#""spec":{{"image":"i","command":[{}"$long"]}}"#, r#""$long","#.repeat(14)), invalid(&["spec"])),
        on("activated while another is", InitialState::Gate, activate,
            aborted("DEPLOYMENT_IN_PROGRESS",
                &[("deploying_revision_id", "$deploying"), ("deploying_revision_number", "2")])),
        on("activated in place of another", InitialState::Gate,
            r#""spec":{"image":"i"},"activate":true,"supersede":true"#,
            done(&[("/revision/number", "3"), ("/created", "true")])),
        on("activated again, although it serves", InitialState::Ready,
            r#""spec":{"image":"registry.test/web:1"},"activate":true"#,
            done(&[("/revision/number", "2"), ("/created", "true")])),
        on("activated only if changed, and it serves", InitialState::Ready,
            r#""spec":{"image":"registry.test/web:1"},"activate":true,"onlyIfChanged":true"#,
            done(&[("/revision/id", "$current"), ("/created", "")])),
        on("activated only if changed, and it is", InitialState::Ready,
            r#""spec":{"image":"i"},"activate":true,"onlyIfChanged":true"#,
            done(&[("/revision/number", "2"), ("/created", "true")])),
        on("terms of an activation without one", InitialState::Ready,
            r#""spec":{"image":"i"},"supersede":true,"onlyIfChanged":true"#, invalid(&["only_if_changed", "supersede"])),
        on("gone", InitialState::Gone, r#""spec":{"image":"i"}"#, wrong_state(&["DEPLOYMENT_GONE"])),
    ]);
    cases
}

fn get() -> Vec<Case> {
    const METHOD: &str = "GetRevision";
    let on = |name, initial, revision: &str, outcome| {
        let request = format!(r#"{{"deployment":"$ref","revision":"{revision}"}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = named(METHOD, r#","revision":"1""#);
    cases.extend([
        on(
            "by number",
            InitialState::Ready,
            "1",
            done(&[("/revision/id", "$current")]),
        ),
        on(
            "by id",
            InitialState::Ready,
            "$current",
            done(&[("/revision/number", "1")]),
        ),
        on(
            "no revision",
            InitialState::Ready,
            "",
            invalid(&["revision"]),
        ),
        on(
            "number below 1",
            InitialState::Ready,
            "0",
            invalid(&["revision"]),
        ),
        on(
            "neither id nor number",
            InitialState::Ready,
            "two",
            invalid(&["revision"]),
        ),
        on(
            "unknown revision number",
            InitialState::Ready,
            "7",
            no_revision("7"),
        ),
        on(
            "unknown revision id",
            InitialState::Ready,
            "$unknown",
            no_revision("$unknown"),
        ),
    ]);
    cases
}

fn activate() -> Vec<Case> {
    const METHOD: &str = "ActivateRevision";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$id",{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let mut cases = named(METHOD, r#","revision":"1""#);
    cases.extend(terms_on_one(
        METHOD,
        InitialState::Recorded,
        r#","revision":"2""#,
    ));
    cases.extend([
        on(
            "ready",
            InitialState::Recorded,
            r#""revision":"2""#,
            done(&[("/deployment/subStep", "DEPLOYMENT_SUB_STEP_PROVISIONING")]),
        ),
        on(
            "superseding",
            InitialState::Gate,
            r#""revision":"2","supersede":true"#,
            done(&[("/deployment/subStep", "DEPLOYMENT_SUB_STEP_PROVISIONING")]),
        ),
        on(
            "malformed revision",
            InitialState::Ready,
            r#""revision":"two""#,
            invalid(&["revision"]),
        ),
        on(
            "unknown revision",
            InitialState::Ready,
            r#""revision":"7""#,
            no_revision("7"),
        ),
        on(
            "current revision",
            InitialState::Ready,
            r#""revision":"1""#,
            wrong_state(&["ALREADY_CURRENT"]),
        ),
        on(
            "while another is",
            InitialState::Gate,
            r#""revision":"2""#,
            aborted(
                "DEPLOYMENT_IN_PROGRESS",
                &[("deploying_revision_id", "$deploying")],
            ),
        ),
        on(
            "gone",
            InitialState::Gone,
            r#""revision":"1""#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
    ]);
    cases
}
