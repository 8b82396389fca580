//! Apply.

use super::{
    super::{
        case::{Case, MethodOutcome, aborted, case, done, invalid, no_deployment, wrong_state},
        contract_env::InitialState,
    },
    terms,
};

const METHOD: &str = "ApplyDeployment";
const NAME: &str = r#""project":"contract","name":"$name","#;

pub(super) fn cases() -> Vec<Case> {
    let mut cases = vec![
        // First, since it is the one that others take for an example.
        on(
            "settings",
            InitialState::Ready,
            r#""targetReplicas":2"#,
            done(&[
                ("/deployment/targetReplicas", "2"),
                ("/changes", "1 items"),
                ("/changes/0/path", "target_replicas"),
                ("/changes/0/oldValue", "1"),
                ("/changes/0/newValue", "2"),
                ("/activated", ""),
            ]),
        ),
    ];
    cases.extend(terms(METHOD, InitialState::Ready, NAME));
    cases.extend(protocols());
    cases.extend(creations());
    cases.extend(revisions());
    cases.extend(refusals());
    cases
}

fn on(name: &'static str, initial: InitialState, fields: &str, outcome: MethodOutcome) -> Case {
    let request = format!("{{{NAME}{fields}}}");
    case(METHOD, name, initial, request, outcome)
}

fn protocols() -> Vec<Case> {
    let after_tcp = |name, fields: &str, outcome| {
        let first = format!(r#"{{{NAME}"protocol":"DEPLOYMENT_PROTOCOL_TCP"}}"#);
        on(name, InitialState::Ready, fields, outcome).after(first)
    };
    vec![
        after_tcp(
            "another protocol",
            r#""protocol":"DEPLOYMENT_PROTOCOL_HTTP2""#,
            done(&[
                ("/deployment/protocol", "DEPLOYMENT_PROTOCOL_HTTP2"),
                ("/changes", "1 items"),
                ("/changes/0/path", "protocol"),
                ("/changes/0/oldValue", "tcp"),
                ("/changes/0/newValue", "http2"),
                ("/activated", ""),
            ]),
        ),
        after_tcp(
            "without a protocol",
            r#""targetReplicas":1"#,
            done(&[
                ("/deployment/protocol", "DEPLOYMENT_PROTOCOL_TCP"),
                ("/changes", ""),
            ]),
        ),
        after_tcp(
            "the default protocol again",
            r#""resetMask":"protocol""#,
            done(&[("/deployment/protocol", "DEPLOYMENT_PROTOCOL_HTTP1")]),
        ),
    ]
}

fn creations() -> Vec<Case> {
    vec![
        on(
            "creates what speaks another protocol",
            InitialState::Nothing,
            r#""protocol":"DEPLOYMENT_PROTOCOL_HTTP2""#,
            done(&[
                ("/created", "true"),
                ("/deployment/protocol", "DEPLOYMENT_PROTOCOL_HTTP2"),
            ]),
        ),
        on(
            "creates",
            InitialState::Nothing,
            r#""revision":{"image":"i"}"#,
            done(&[
                ("/created", "true"),
                ("/activated", "true"),
                ("/deployment/name", "$name"),
                ("/deployment/targetReplicas", "1"),
                ("/revision/number", "1"),
            ]),
        ),
        on(
            "would create",
            InitialState::Nothing,
            r#""revision":{"image":"i"},"validateOnly":true"#,
            done(&[
                ("/created", "true"),
                ("/deployment", ""),
                ("/revision/id", ""),
                ("/revision/number", "1"),
            ]),
        ),
        on(
            "may not create",
            InitialState::Nothing,
            r#""allowCreate":false"#,
            no_deployment("$ref"),
        ),
        on(
            "generation of what is not there",
            InitialState::Nothing,
            r#""expectedGeneration":"3""#,
            aborted(
                "GENERATION_MISMATCH",
                &[("expected_generation", "3"), ("generation", "0")],
            ),
        ),
        on(
            "the name of a deleted one",
            InitialState::Gone,
            r#""labels":{"a":"b"}"#,
            done(&[("/created", "true")]),
        ),
        on(
            "does not fit the defaults",
            InitialState::Nothing,
            r#""policy":{"rollingUpdate":{"maxSurge":{"count":0}}}"#,
            invalid(&["policy.rolling_update"]),
        ),
    ]
}

fn revisions() -> Vec<Case> {
    let deploying = aborted(
        "DEPLOYMENT_IN_PROGRESS",
        &[("deploying_revision_id", "$deploying")],
    );
    let another = r#""revision":{"image":"i"}"#;
    vec![
        on(
            "a new revision",
            InitialState::Ready,
            another,
            done(&[
                ("/activated", "true"),
                ("/revision/number", "2"),
                ("/deployment/subStep", "DEPLOYMENT_SUB_STEP_PROVISIONING"),
            ]),
        ),
        on(
            "would be a new revision",
            InitialState::Ready,
            r#""revision":{"image":"i"},"validateOnly":true"#,
            done(&[
                ("/activated", "true"),
                ("/revision/number", "2"),
                ("/revision/id", ""),
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_READY"),
            ]),
        ),
        on(
            "the revision that serves",
            InitialState::Ready,
            r#""revision":{"image":"registry.test/web:1"}"#,
            done(&[("/changes", ""), ("/revision/id", "$current")]),
        ),
        on(
            "another, while one is deployed",
            InitialState::Gate,
            another,
            deploying.clone(),
        ),
        on(
            "validated, while one is deployed",
            InitialState::Gate,
            r#""revision":{"image":"i"},"validateOnly":true"#,
            deploying,
        ),
        on(
            "superseding",
            InitialState::Gate,
            r#""revision":{"image":"i"},"supersede":true"#,
            done(&[("/activated", "true"), ("/revision/number", "3")]),
        ),
    ]
}

fn refusals() -> Vec<Case> {
    vec![
        case(
            METHOD,
            "no name",
            InitialState::Nothing,
            "{}",
            invalid(&["name", "project"]),
        ),
        on(
            "everything out of bounds",
            InitialState::Ready,
            r#""targetReplicas":1001,"revisionHistoryLimit":-1,"labels":{"a b":"c"},
               "policy":{"blueGreen":{"minReady":"2678400s","gateTimeout":{}}},"revision":{},
               "metadata":{"resourceGroup":"$long"},"requestId":"mine","reason":"$long","protocol":4,
               "resetMask":"policy.rollingUpdate,policy.blueGreen.minReady,reason""#,
            invalid(&[
                "labels[\"a b\"]",
                "metadata.resource_group",
                "policy.blue_green.gate_timeout.action",
                "policy.blue_green.gate_timeout.duration",
                "policy.blue_green.min_ready",
                "protocol",
                "reason",
                "request_id",
                "reset_mask.paths[0]",
                "reset_mask.paths[1]",
                "reset_mask.paths[2]",
                "revision",
                "revision_history_limit",
                "target_replicas",
            ]),
        ),
        on(
            "other metadata",
            InitialState::Ready,
            r#""metadata":{"resourceGroup":"other","domain":"d"}"#,
            invalid(&["metadata.domain", "metadata.resource_group"]),
        ),
        on(
            "a part of a gate timeout that is not there",
            InitialState::Ready,
            r#""resetMask":"policy.blueGreen.gateTimeout.duration""#,
            invalid(&["policy.blue_green.gate_timeout.duration"]),
        ),
        on(
            "another strategy, while one is deployed",
            InitialState::Gate,
            r#""policy":{"rollingUpdate":{}},"revision":{"image":"i"},"supersede":true"#,
            wrong_state(&["STRATEGY_IN_USE"]),
        ),
        on(
            "another generation",
            InitialState::Ready,
            r#""expectedGeneration":"0""#,
            aborted(
                "GENERATION_MISMATCH",
                &[("expected_generation", "0"), ("generation", "$generation")],
            ),
        ),
    ]
}
