//! What cannot be right is refused, with all that is wrong with it, and with
//! what was not found.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Code, Status};
use uuid::Uuid;
use viridian_proto::v1::{
    ActivateRevisionRequest, BlueGreenSpec, CreateDeploymentRequest, CreateRevisionRequest,
    DeploymentPolicy, GateTimeout, GetTrafficRequest, HealthCheck, IntOrPercent,
    ListHistoryRequest, ListRevisionsRequest, ListRoutesRequest, PromoteDeploymentRequest,
    RevisionSpec, RollingUpdateSpec, UpdateDeploymentRequest, WatchTrafficRequest,
    deployment_policy::Strategy, int_or_percent::Value,
};

use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, TestEnv, abort, blue_green, creation, delete, field_paths, manual,
        pause, promotion, refused, resume, roll_back, seconds, update,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn a_malformed_reference_is_an_invalid_argument(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    for reference in [
        "",
        "web",
        "a/b/c",
        "/web",
        "shop/",
        "sh op/web",
        "0190-not-a-uuid",
        "é/web",
    ] {
        for refusal in each_method(&env, reference).await {
            assert_eq!(field_paths(&refusal), ["deployment"], "{reference:?}");
        }
    }
    let request = WatchTrafficRequest {
        deployments: vec!["web".to_owned(), "a/b/c".to_owned()],
        all: false,
        ..WatchTrafficRequest::default()
    };
    let refusal = env.api.traffic().watch_traffic(request).await;
    let refusal = refusal.expect_err("neither is a reference");
    assert_eq!(field_paths(&refusal), ["deployments[0]", "deployments[1]"]);
}

#[apply(both_engines)]
#[tokio::test]
async fn an_unknown_deployment_is_not_found(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    for reference in ["shop/nope", &Uuid::now_v7().to_string()] {
        for refusal in each_method(&env, reference).await {
            let details = refused(&refusal, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
            let resource = details.resource_info().expect("a ResourceInfo");
            assert_eq!(resource.resource_type, "viridian.Deployment");
            assert_eq!(resource.resource_name, reference);
        }
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn an_unknown_revision_is_not_found(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.at_gate(1, manual()).await;
    for revision in ["7", &Uuid::now_v7().to_string()] {
        let activate = ActivateRevisionRequest {
            deployment: REFERENCE.to_owned(),
            revision: revision.to_owned(),
            ..ActivateRevisionRequest::default()
        };
        let promote = PromoteDeploymentRequest {
            expected_revision: revision.to_owned(),
            ..promotion(REFERENCE)
        };
        let refusals = [
            env.api.activate(activate).await.err(),
            env.api.promote(promote).await.err(),
        ];
        for refusal in refusals {
            let refusal = refusal.expect("there is no such revision");
            let details = refused(&refusal, Code::NotFound, "REVISION_NOT_FOUND");
            let resource = details.resource_info().expect("a ResourceInfo");
            assert_eq!(resource.resource_type, "viridian.Revision");
        }
    }
    for revision in ["", "0", "-1", "two"] {
        let activate = ActivateRevisionRequest {
            deployment: REFERENCE.to_owned(),
            revision: revision.to_owned(),
            ..ActivateRevisionRequest::default()
        };
        let refusal = env.api.activate(activate).await;
        let refusal = refusal.expect_err("it cannot be a revision");
        assert_eq!(field_paths(&refusal), ["revision"], "{revision:?}");
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn all_that_is_wrong_is_said_at_once(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = GateTimeout {
        duration: seconds(0.0),
        action: 0,
    };
    let spec = BlueGreenSpec {
        promote_delay: Some(prost_types::Duration {
            seconds: -1,
            nanos: 0,
        }),
        min_ready: seconds(31.0 * 24.0 * 3600.0),
        max_replacements: Some(-1),
        gate_timeout: Some(gate),
        ..BlueGreenSpec::default()
    };
    let request = CreateDeploymentRequest {
        project: "no spaces".to_owned(),
        name: "x".repeat(64),
        target_replicas: 1_001,
        revision_history_limit: -1,
        request_id: "mine".to_owned(),
        protocol: 4,
        initial_revision: Some(RevisionSpec {
            health_check: Some(HealthCheck {
                path: "no-slash".to_owned(),
                ..HealthCheck::default()
            }),
            ..RevisionSpec::default()
        }),
        ..creation(1, blue_green(spec))
    };
    let refusal = env.api.create(request).await;
    let refusal = refusal.expect_err("almost nothing is right");
    let expected = [
        "initial_revision",
        "initial_revision.health_check.path",
        "name",
        "policy.blue_green.gate_timeout.action",
        "policy.blue_green.gate_timeout.duration",
        "policy.blue_green.max_replacements",
        "policy.blue_green.min_ready",
        "policy.blue_green.promote_delay",
        "project",
        "protocol",
        "request_id",
        "revision_history_limit",
        "target_replicas",
    ];
    assert_eq!(field_paths(&refusal), expected);

    let rolling = |surge, unavailable| RollingUpdateSpec {
        max_surge: Some(IntOrPercent { value: surge }),
        max_unavailable: Some(IntOrPercent { value: unavailable }),
    };
    let rolling = |surge, unavailable| DeploymentPolicy {
        strategy: Some(Strategy::RollingUpdate(rolling(surge, unavailable))),
        ..DeploymentPolicy::default()
    };
    let zero = rolling(Some(Value::Count(0)), Some(Value::Percent(0)));
    let refusal = env.api.create(creation(1, zero)).await;
    let refusal = refusal.expect_err("nothing could move");
    assert_eq!(field_paths(&refusal), ["policy.rolling_update"]);
    let beyond = rolling(Some(Value::Percent(101)), None);
    let refusal = env.api.create(creation(1, beyond)).await;
    let paths = field_paths(&refusal.expect_err("out of bounds"));
    assert!(paths.contains(&"policy.rolling_update.max_surge.percent".to_owned()));
    assert!(paths.contains(&"policy.rolling_update.max_unavailable".to_owned()));
}

/// The contract: lower-case letters, digits and "-", at most 63 characters.
#[tokio::test]
async fn names_are_what_the_contract_says() {
    let env = TestEnv::start(Engine::Sqlite).await;
    for name in ["w eb", "w/eb", "wéb", "-web", "web-", ".web", ""] {
        let request = CreateDeploymentRequest {
            name: name.to_owned(),
            ..creation(0, manual())
        };
        let refusal = env.api.create(request).await;
        let refusal = refusal.expect_err(name);
        assert_eq!(field_paths(&refusal), ["name"], "{name:?}");
    }
    let longest = CreateDeploymentRequest {
        name: format!("W_{}.b", "w".repeat(59)),
        ..creation(0, manual())
    };
    env.api.create(longest).await.expect("63 characters");
}

/// The contract: an image, a command or a model is required.
#[tokio::test]
async fn a_revision_has_something_to_run() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let nothing_to_run = RevisionSpec {
        runtime_variant: "gpu".to_owned(),
        ..RevisionSpec::default()
    };
    for spec in [None, Some(RevisionSpec::default()), Some(nothing_to_run)] {
        let request = CreateRevisionRequest {
            deployment: REFERENCE.to_owned(),
            spec: spec.clone(),
            ..CreateRevisionRequest::default()
        };
        let refusal = env.api.deployments().create_revision(request).await;
        let refusal = refusal.expect_err("there is nothing to run");
        assert_eq!(field_paths(&refusal), ["spec"], "{spec:?}");
    }
}

#[tokio::test]
async fn an_expected_generation_other_than_0_creates_nothing() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let request = CreateDeploymentRequest {
        expected_generation: Some(3),
        ..creation(1, manual())
    };
    let refusal = env.api.create(request).await;
    let refusal = refusal.expect_err("a new one has generation 0");
    refused(&refusal, Code::Aborted, "GENERATION_MISMATCH");
    let refusal = env.api.find(REFERENCE).await.expect_err("not created");
    refused(&refusal, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
}

/// The refusals of all methods that name one deployment.
async fn each_method(env: &TestEnv, reference: &str) -> Vec<Status> {
    let deployment = reference.to_owned();
    let activate = ActivateRevisionRequest {
        deployment: deployment.clone(),
        revision: "1".to_owned(),
        ..ActivateRevisionRequest::default()
    };
    let routes = ListRoutesRequest {
        deployment: deployment.clone(),
        ..ListRoutesRequest::default()
    };
    let history = ListHistoryRequest {
        deployment: deployment.clone(),
        ..ListHistoryRequest::default()
    };
    let revisions = ListRevisionsRequest {
        deployment: deployment.clone(),
        ..ListRevisionsRequest::default()
    };
    let scale = UpdateDeploymentRequest {
        target_replicas: 3,
        ..update(reference)
    };
    let (mut deployments, mut traffic) = (env.api.deployments(), env.api.traffic());
    let traffic = traffic.get_traffic(GetTrafficRequest { deployment });
    let api = &env.api;
    let refusals = [
        api.update(scale).await.err(),
        api.delete(delete(reference)).await.err(),
        api.revision(reference, "1").await.err(),
        api.revisions(revisions).await.err(),
        api.abort(abort(reference)).await.err(),
        api.roll_back(roll_back(reference)).await.err(),
        api.pause(pause(reference)).await.err(),
        api.resume(resume(reference)).await.err(),
        api.history_page(history).await.err(),
        env.api.find(reference).await.err(),
        env.api.promote(promotion(reference)).await.err(),
        env.api.create_revision(reference, true).await.err(),
        env.api.activate(activate).await.err(),
        deployments.list_routes(routes).await.err(),
        traffic.await.err(),
    ];
    let refusal = |it: Option<Status>| it.expect("every method refuses it");
    refusals.into_iter().map(refusal).collect()
}
