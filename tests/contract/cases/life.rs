//! Create, get, update, delete, pause and resume.

use tonic::Code;

use super::{
    super::{
        case::{Case, Details, aborted, case, done, invalid, refusal, wrong_state},
        contract_env::InitialState,
    },
    named, terms, terms_on_one,
};

pub(super) fn cases() -> Vec<Case> {
    [create(), get(), update(), delete(), pause(), resume()].concat()
}

fn create() -> Vec<Case> {
    const METHOD: &str = "CreateDeployment";
    let new = |name, fields: &str, outcome| {
        let request = format!(r#"{{"project":"contract","name":"$name",{fields}}}"#);
        case(METHOD, name, InitialState::Nothing, request, outcome)
    };
    let taken = refusal(
        Code::AlreadyExists,
        "NAME_TAKEN",
        Details::Resource("viridian.Deployment", "$ref"),
    );
    let mut cases = vec![
        new(
            "without a revision",
            r#""targetReplicas":1"#,
            done(&[
                ("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_PENDING"),
                ("/deployment/protocol", "DEPLOYMENT_PROTOCOL_HTTP1"),
            ]),
        ),
        new(
            "of another protocol",
            r#""protocol":"DEPLOYMENT_PROTOCOL_HTTP2""#,
            done(&[("/deployment/protocol", "DEPLOYMENT_PROTOCOL_HTTP2")]),
        ),
        new(
            "with a revision",
            r#""initialRevision":{"image":"i"}"#,
            done(&[("/deployment/name", "$name")]),
        ),
        new(
            "everything out of bounds",
            r#""targetReplicas":1001,"revisionHistoryLimit":-1,"labels":{"a b":"c","d":"e f"},
               "policy":{"blueGreen":{"promoteDelay":"-1s","minReady":"2678400s","maxReplacements":-1,
               "gateTimeout":{}},"progressDeadline":"-1s","drainGrace":"2678400s"},
               "initialRevision":{},"requestId":"mine","metadata":{"resourceGroup":"$long"},"reason":"$long","protocol":4"#,
            invalid(&[
                "initial_revision",
                "labels[\"a b\"]",
                "labels[\"d\"]",
                "metadata.resource_group",
                "policy.blue_green.gate_timeout.action",
                "policy.blue_green.gate_timeout.duration",
                "policy.blue_green.max_replacements",
                "policy.blue_green.min_ready",
                "policy.blue_green.promote_delay",
                "policy.drain_grace",
                "policy.progress_deadline",
                "protocol",
                "reason",
                "request_id",
                "revision_history_limit",
                "target_replicas",
            ]),
        ),
        new(
            "no room to roll",
            r#""policy":{"rollingUpdate":{"maxSurge":{"count":0},"maxUnavailable":{"percent":0}}}"#,
            invalid(&["policy.rolling_update"]),
        ),
        new(
            "percentages out of bounds",
            r#""policy":{"rollingUpdate":{"maxSurge":{"percent":101},"maxUnavailable":{"count":1001}}}"#,
            invalid(&[
                "policy.rolling_update.max_surge.percent",
                "policy.rolling_update.max_unavailable.count",
            ]),
        ),
        new(
            "NUL in what is to run",
            r#""initialRevision":{"image":"\u0000","command":["a","\u0000"]}"#,
            invalid(&["initial_revision.command[1]", "initial_revision.image"]),
        ),
        case(
            METHOD,
            "no name",
            InitialState::Nothing,
            "{}",
            invalid(&["name", "project"]),
        ),
        case(
            METHOD,
            "taken name",
            InitialState::Idle,
            r#"{"project":"contract","name":"$name"}"#,
            taken,
        ),
        new(
            "another generation than 0",
            r#""expectedGeneration":"3""#,
            aborted(
                "GENERATION_MISMATCH",
                &[("expected_generation", "3"), ("generation", "0")],
            ),
        ),
    ];
    cases.extend(terms(
        METHOD,
        InitialState::Nothing,
        r#""project":"contract","name":"$name","#,
    ));
    cases
}

fn get() -> Vec<Case> {
    const METHOD: &str = "GetDeployment";
    let mut cases = named(METHOD, "");
    cases.extend([
        case(
            METHOD,
            "by name",
            InitialState::Ready,
            r#"{"deployment":"$ref"}"#,
            done(&[("/deployment/id", "$id")]),
        ),
        case(
            METHOD,
            "by id",
            InitialState::Ready,
            r#"{"deployment":"$id"}"#,
            done(&[("/deployment/name", "$name")]),
        ),
        case(
            METHOD,
            "gone, by id",
            InitialState::Gone,
            r#"{"deployment":"$id"}"#,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DESTROYING")]),
        ),
        case(
            METHOD,
            "gone, by name",
            InitialState::Gone,
            r#"{"deployment":"$ref"}"#,
            super::no_deployment("$ref"),
        ),
    ]);
    cases
}

fn update() -> Vec<Case> {
    const METHOD: &str = "UpdateDeployment";
    let on = |name, initial, fields: &str, outcome| {
        let request = format!(r#"{{"deployment":"$ref",{fields}}}"#);
        case(METHOD, name, initial, request, outcome)
    };
    let rolling = r#""policy":{"rollingUpdate":{}},"updateMask":"policy.rollingUpdate""#;
    let mut cases = named(METHOD, r#","targetReplicas":2"#);
    cases.extend(terms_on_one(
        METHOD,
        InitialState::Ready,
        r#","targetReplicas":2"#,
    ));
    cases.extend([
        on("without a mask", InitialState::Ready, r#""targetReplicas":2"#, done(&[("/deployment/targetReplicas", "2")])),
        on("with a mask", InitialState::Ready, r#""targetReplicas":2,"labels":{"a":"b"},"updateMask":"labels""#,
            done(&[("/deployment/targetReplicas", "1"), ("/deployment/labels/a", "b")])),
        on("another strategy", InitialState::Ready, rolling, done(&[])),
        on("another protocol", InitialState::Ready, r#""protocol":"DEPLOYMENT_PROTOCOL_TCP""#,
            done(&[("/deployment/protocol", "DEPLOYMENT_PROTOCOL_TCP")])),
        on("no protocol, which is the default", InitialState::Ready, r#""updateMask":"protocol""#,
            done(&[("/deployment/protocol", "DEPLOYMENT_PROTOCOL_HTTP1")]))
            .after(r#"{"deployment":"$ref","protocol":"DEPLOYMENT_PROTOCOL_TCP"}"#),
        on("nothing", InitialState::Ready, r#""reason":"none""#, invalid(&["update_mask"])),
        on("unknown field", InitialState::Ready, r#""updateMask":"labels,name""#, invalid(&["update_mask.paths[1]"])),
        on("out of bounds", InitialState::Ready,
            r#""targetReplicas":-1,"revisionHistoryLimit":1001,"labels":{"":""},"policy":{"drainGrace":"-1s"},"protocol":-1"#,
            invalid(&["labels[\"\"]", "policy.drain_grace", "protocol", "revision_history_limit", "target_replicas"])),
        on("no room to roll with what there is", InitialState::Rolling,
            r#""policy":{"rollingUpdate":{"maxSurge":{"count":0}}},"updateMask":"policy.rollingUpdate.maxSurge""#,
            invalid(&["policy.rolling_update"])),
        on("another strategy while deploying", InitialState::Gate, rolling, wrong_state(&["STRATEGY_IN_USE"])),
        on("a setting of the other strategy", InitialState::Ready,
            r#""policy":{"rollingUpdate":{"maxSurge":{"count":1}}},"updateMask":"policy.rollingUpdate.maxSurge""#,
            wrong_state(&["STRATEGY_MISMATCH"])),
        on("a setting of a gate timeout that there is not", InitialState::Ready,
            r#""policy":{"blueGreen":{"gateTimeout":{"duration":"1s"}}},"updateMask":"policy.blueGreen.gateTimeout.duration""#,
            wrong_state(&["NO_GATE_TIMEOUT"])),
        case(METHOD, "gone", InitialState::Gone, r#"{"deployment":"$id","targetReplicas":2}"#, wrong_state(&["DEPLOYMENT_GONE"])),
    ]);
    cases
}

fn delete() -> Vec<Case> {
    const METHOD: &str = "DeleteDeployment";
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Idle, ""));
    cases.extend([
        case(
            METHOD,
            "ready",
            InitialState::Ready,
            r#"{"deployment":"$ref"}"#,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DESTROYING")]),
        ),
        case(
            METHOD,
            "deploying",
            InitialState::Gate,
            r#"{"deployment":"$ref"}"#,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DESTROYING")]),
        ),
        case(
            METHOD,
            "gone",
            InitialState::Gone,
            r#"{"deployment":"$id"}"#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
        case(
            METHOD,
            "by force",
            InitialState::Gate,
            r#"{"deployment":"$ref","force":true}"#,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DESTROYED")]),
        ),
        case(
            METHOD,
            "by force, while its end waits",
            InitialState::Gone,
            r#"{"deployment":"$ref","force":true}"#,
            done(&[("/deployment/lifecycle", "DEPLOYMENT_LIFECYCLE_DESTROYED")]),
        ),
        case(
            METHOD,
            "by force, twice",
            InitialState::Gone,
            r#"{"deployment":"$id","force":true}"#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        )
        .after(r#"{"deployment":"$id","force":true}"#),
    ]);
    cases
}

fn pause() -> Vec<Case> {
    const METHOD: &str = "PauseDeployment";
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Ready, ""));
    cases.extend([
        case(
            METHOD,
            "deploying",
            InitialState::Gate,
            r#"{"deployment":"$ref"}"#,
            done(&[("/deployment/paused", "true")]),
        ),
        case(
            METHOD,
            "paused",
            InitialState::Paused,
            r#"{"deployment":"$ref"}"#,
            wrong_state(&["ALREADY_PAUSED"]),
        ),
        case(
            METHOD,
            "gone",
            InitialState::Gone,
            r#"{"deployment":"$id"}"#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
    ]);
    cases
}

fn resume() -> Vec<Case> {
    const METHOD: &str = "ResumeDeployment";
    let mut cases = named(METHOD, "");
    cases.extend(terms_on_one(METHOD, InitialState::Paused, ""));
    cases.extend([
        case(
            METHOD,
            "paused",
            InitialState::Paused,
            r#"{"deployment":"$ref"}"#,
            done(&[("/deployment/paused", "")]),
        ),
        case(
            METHOD,
            "not paused",
            InitialState::Gate,
            r#"{"deployment":"$ref"}"#,
            wrong_state(&["NOT_PAUSED"]),
        ),
        case(
            METHOD,
            "gone",
            InitialState::Gone,
            r#"{"deployment":"$id"}"#,
            wrong_state(&["DEPLOYMENT_GONE"]),
        ),
    ]);
    cases
}
