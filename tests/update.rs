//! Update: another number of replicas, another policy, other labels.

mod fixture;
mod mask;

use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::JoinSet;
use tonic::Code;
use viridian_proto::v1::{
    BlueGreenSpec, Deployment, DeploymentPolicy, GateTimeout, UpdateDeploymentRequest,
    deployment_policy::Strategy, int_or_percent::Value,
};

use self::fixture::{idle, masked, old_policy, rolling};
use crate::{
    engines::both_engines,
    harness::{
        Engine, REFERENCE, Server, TestEnv, field_paths, manual, prevented, refused, seconds,
        update, within,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn settings_that_do_not_fit_what_there_is_are_refused(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rolling_policy = DeploymentPolicy {
        strategy: Some(rolling(Value::Count(1), Value::Count(0))),
        ..DeploymentPolicy::default()
    };
    let on_rolling = idle(&api, 0, rolling_policy.clone()).await;
    let on_blue_green = idle(&api, 1, manual()).await;

    let request = masked(&["policy.blue_green.min_ready"], update(&on_rolling.id));
    let refusal = api.update(request).await.expect_err("it is rolling");
    let message = prevented(&refusal, "STRATEGY_MISMATCH");
    assert!(message.contains("mask"), "it says what to do: {message}");
    let request = UpdateDeploymentRequest {
        policy: Some(DeploymentPolicy {
            strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
                gate_timeout: Some(GateTimeout {
                    duration: seconds(5.0),
                    action: 0,
                }),
                ..BlueGreenSpec::default()
            })),
            ..DeploymentPolicy::default()
        }),
        ..update(&on_blue_green.id)
    };
    let request = masked(&["policy.blue_green.gate_timeout.duration"], request);
    let refusal = api.update(request).await.expect_err("there is none");
    prevented(&refusal, "NO_GATE_TIMEOUT");
    // Only together with what there is do the two leave no room.
    let request = UpdateDeploymentRequest {
        policy: Some(DeploymentPolicy {
            strategy: Some(rolling(Value::Percent(0), Value::Count(9))),
            ..rolling_policy
        }),
        ..update(&on_rolling.id)
    };
    let request = masked(&["policy.rolling_update.max_surge"], request);
    let refusal = api.update(request).await.expect_err("nothing could move");
    assert_eq!(field_paths(&refusal), ["policy.rolling_update"]);
    assert_eq!(api.get(&on_rolling.id).await, on_rolling);
    assert_eq!(api.get(&on_blue_green.id).await, on_blue_green);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_rollout_keeps_its_strategy(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(1, manual()).await;
    let request = || masked(&["policy.rolling_update"], update(REFERENCE));
    let refusal = env.api.update(request()).await;
    prevented(
        &refusal.expect_err("2 is being deployed"),
        "STRATEGY_IN_USE",
    );
    assert_eq!(env.get().await, gate);
    env.promote().await;
    env.api.update(request()).await.expect("no rollout");
}

#[apply(both_engines)]
#[tokio::test]
async fn another_target_scales_both_sides(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(1, manual()).await;
    let scale = |target_replicas| UpdateDeploymentRequest {
        target_replicas,
        ..masked(&["target_replicas"], update(REFERENCE))
    };
    let updated = env.api.update(scale(3)).await.expect("it is taken");
    assert_eq!(updated.generation, gate.generation + 1);
    let sides = |it: &Deployment| (it.blue.unwrap_or_default(), it.green.unwrap_or_default());
    env.until("three on both sides", |it| {
        let (blue, green) = sides(it);
        (blue.ready, green.ready) == (3, 3)
    })
    .await;
    // What is there already is no change.
    let before = env.get().await;
    let again = env.api.update(scale(3)).await.expect("it is taken");
    assert_eq!(again.generation, before.generation);
    env.api.update(scale(0)).await.expect("it is taken");
    env.until("none on both sides", |it| {
        let (blue, green) = sides(it);
        blue.active_traffic + blue.ready + green.ready == 0
    })
    .await;
}

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_at_the_same_time_lose_nothing(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let before = idle(&api, 0, manual()).await;
    let paths = [
        "policy.progress_deadline",
        "policy.drain_grace",
        "policy.first_deadline",
        "policy.blue_green.auto_promote",
        "policy.blue_green.promote_delay",
        "policy.blue_green.min_ready",
        "policy.blue_green.max_replacements",
        "policy.blue_green.ready_threshold",
        "policy.blue_green.scale_down_delay",
        "policy.blue_green.gate_timeout",
    ];
    let mut calling = JoinSet::new();
    for path in paths {
        let request = UpdateDeploymentRequest {
            policy: Some(old_policy()),
            ..masked(&[path], update(&before.id))
        };
        let api = api.clone();
        calling.spawn(async move { api.update(request).await });
    }
    for reply in within("all replies", calling.join_all()).await {
        reply.expect("each is taken");
    }
    let after = api.get(&before.id).await;
    assert_eq!(after.policy, Some(old_policy()));
    assert_eq!(after.generation, before.generation + paths.len() as i64);
    let stale = UpdateDeploymentRequest {
        expected_generation: Some(before.generation),
        ..masked(&["policy"], update(&before.id))
    };
    let refusal = api.update(stale).await.expect_err("it moved on");
    refused(&refusal, Code::Aborted, "GENERATION_MISMATCH");
}
