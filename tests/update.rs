//! Update: the mask says which fields change, and nothing else does.

use rstest::rstest;
use tokio::task::JoinSet;
use tonic::Code;
use viridian_proto::v1::{
    BlueGreenSpec, CreateDeploymentRequest, Deployment, DeploymentPolicy, GateTimeout,
    GateTimeoutAction, IntOrPercent, RollingUpdateSpec, UpdateDeploymentRequest,
    deployment_policy::Strategy, int_or_percent::Value,
};

use crate::harness::{
    Api, Engine, REFERENCE, Server, World, creation, field_paths, manual, prevented, refused,
    seconds, update, within,
};

type Change = fn(&mut Deployment);

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_mask_says_what_changes(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rows: [(&[&str], Change); 13] = [
        (&["target_replicas"], |it| it.target_replicas = 4),
        (&["labels"], |it| it.labels = labels("tier", "gold")),
        (&["revision_history_limit"], |it| {
            it.revision_history_limit = 6
        }),
        (&["policy.drain_grace"], |it| {
            policy(it).drain_grace = seconds(1.0)
        }),
        (&["policy.blue_green.promote_delay"], |it| {
            spec(it).promote_delay = seconds(9.0);
        }),
        // Named and not set: its default.
        (&["policy.progress_deadline"], |it| {
            policy(it).progress_deadline = seconds(600.0);
        }),
        (&["policy.blue_green.auto_promote"], |it| {
            spec(it).auto_promote = false
        }),
        (&["policy.blue_green.gate_timeout"], |it| {
            spec(it).gate_timeout = None
        }),
        (&["policy.blue_green"], |it| *spec(it) = new_spec()),
        (&["policy"], |it| it.policy = Some(new_policy())),
        (&["target_replicas", "policy.drain_grace"], |it| {
            it.target_replicas = 4;
            policy(it).drain_grace = seconds(1.0);
        }),
        (&["*"], |it| {
            it.target_replicas = 4;
            it.labels = labels("tier", "gold");
            it.revision_history_limit = 6;
            it.policy = Some(new_policy());
        }),
        // Without a mask: what is set.
        (&[], |it| {
            it.target_replicas = 4;
            it.labels = labels("tier", "gold");
            it.revision_history_limit = 6;
            policy(it).drain_grace = seconds(1.0);
            spec(it).promote_delay = seconds(9.0);
        }),
    ];
    for (index, (paths, change)) in rows.into_iter().enumerate() {
        let before = idle(&api, index, old_policy()).await;
        let request = masked(
            paths,
            UpdateDeploymentRequest {
                target_replicas: 4,
                labels: labels("tier", "gold"),
                revision_history_limit: 6,
                policy: Some(DeploymentPolicy {
                    strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
                        promote_delay: seconds(9.0),
                        ..BlueGreenSpec::default()
                    })),
                    drain_grace: seconds(1.0),
                    progress_deadline: None,
                }),
                ..update(&before.id)
            },
        );
        changes(&api, before, request, change).await;
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn what_is_named_and_not_set_gets_its_default(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rows: [(&[&str], Change); 6] = [
        (&["target_replicas"], |it| it.target_replicas = 0),
        (&["labels"], |it| it.labels.clear()),
        (&["revision_history_limit"], |it| {
            it.revision_history_limit = 10
        }),
        (&["policy"], |it| it.policy = Some(default_policy())),
        (&["policy.rolling_update"], |it| {
            policy(it).strategy = Some(rolling(Value::Percent(25), Value::Count(0)));
        }),
        (&["*"], |it| {
            it.target_replicas = 0;
            it.labels.clear();
            it.revision_history_limit = 10;
            it.policy = Some(default_policy());
        }),
    ];
    for (index, (paths, change)) in rows.into_iter().enumerate() {
        let before = idle(&api, index, old_policy()).await;
        let request = masked(paths, update(&before.id));
        changes(&api, before, request, change).await;
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_strategy_changes_as_a_whole_or_by_its_settings(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rolling_policy = || DeploymentPolicy {
        strategy: Some(rolling(Value::Count(3), Value::Percent(10))),
        ..old_policy()
    };
    let half = || rolling(Value::Percent(50), Value::Count(2));
    let surge_only = Strategy::RollingUpdate(RollingUpdateSpec {
        max_surge: int_or_percent(Value::Percent(50)),
        max_unavailable: None,
    });
    let with = |strategy: &Strategy| DeploymentPolicy {
        strategy: Some(*strategy),
        ..DeploymentPolicy::default()
    };
    let gate = Strategy::BlueGreen(BlueGreenSpec {
        gate_timeout: Some(GateTimeout {
            duration: seconds(5.0),
            action: GateTimeoutAction::Promote.into(),
        }),
        ..BlueGreenSpec::default()
    });
    let rows: [(DeploymentPolicy, &[&str], DeploymentPolicy, Change); 9] = [
        (
            rolling_policy(),
            &["policy.rolling_update.max_surge"],
            with(&half()),
            |it| {
                policy(it).strategy = Some(rolling(Value::Percent(50), Value::Percent(10)));
            },
        ),
        (
            rolling_policy(),
            &["policy.rolling_update.max_surge.percent"],
            with(&half()),
            |it| {
                policy(it).strategy = Some(rolling(Value::Percent(50), Value::Percent(10)));
            },
        ),
        (rolling_policy(), &[], with(&surge_only), |it| {
            policy(it).strategy = Some(rolling(Value::Percent(50), Value::Percent(10)));
        }),
        (old_policy(), &[], with(&surge_only), |it| {
            policy(it).strategy = Some(rolling(Value::Percent(50), Value::Count(0)));
        }),
        (
            old_policy(),
            &["policy.rolling_update"],
            with(&half()),
            |it| {
                policy(it).strategy = Some(rolling(Value::Percent(50), Value::Count(2)));
            },
        ),
        (
            old_policy(),
            &["policy.blue_green.gate_timeout.duration"],
            with(&gate),
            |it| {
                let gate = spec(it).gate_timeout.as_mut().expect("a gate timeout");
                gate.duration = seconds(5.0);
            },
        ),
        (
            old_policy(),
            &["policy.blue_green.gate_timeout.action"],
            with(&gate),
            |it| {
                let gate = spec(it).gate_timeout.as_mut().expect("a gate timeout");
                gate.action = GateTimeoutAction::Promote.into();
            },
        ),
        (old_policy(), &[], with(&gate), |it| {
            spec(it).gate_timeout = Some(GateTimeout {
                duration: seconds(5.0),
                action: GateTimeoutAction::Promote.into(),
            });
        }),
        (
            rolling_policy(),
            &["policy.blue_green"],
            with(&gate),
            |it| {
                policy(it).strategy = Some(Strategy::BlueGreen(BlueGreenSpec {
                    promote_delay: seconds(0.0),
                    gate_timeout: Some(GateTimeout {
                        duration: seconds(5.0),
                        action: GateTimeoutAction::Promote.into(),
                    }),
                    ..new_spec()
                }));
            },
        ),
    ];
    for (index, (old, paths, new, change)) in rows.into_iter().enumerate() {
        let before = idle(&api, index, old).await;
        let request = UpdateDeploymentRequest {
            policy: Some(new),
            ..update(&before.id)
        };
        changes(&api, before, masked(paths, request), change).await;
    }
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_mask_that_cannot_be_is_an_invalid_argument(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let before = idle(&api, 0, old_policy()).await;
    let nothing = || update(&before.id);
    let unknown = [
        "labels",
        "name",
        "lifecycle",
        "policy.strategy",
        "labels.tier",
        "",
        "targetReplicas",
        "policy.drain_grace.seconds",
    ];
    let expected: Vec<_> = (1..8)
        .map(|it| format!("update_mask.paths[{it}]"))
        .collect();
    let expected: Vec<_> = expected.iter().map(String::as_str).collect();
    let both = [
        "policy.blue_green.min_ready",
        "policy.rolling_update.max_surge",
    ];
    let rolling_policy = DeploymentPolicy {
        strategy: Some(rolling(Value::Count(0), Value::Count(0))),
        ..DeploymentPolicy::default()
    };
    let with_rolling = UpdateDeploymentRequest {
        policy: Some(rolling_policy),
        ..nothing()
    };
    let out_of_bounds = UpdateDeploymentRequest {
        target_replicas: 1_001,
        revision_history_limit: -1,
        request_id: "mine".to_owned(),
        ..nothing()
    };
    let rows: [(&[&str], UpdateDeploymentRequest, &[&str]); 9] = [
        (&[], nothing(), &["update_mask"]),
        (&unknown, nothing(), &expected),
        (
            &both,
            nothing(),
            &["update_mask.paths[0]", "update_mask.paths[1]"],
        ),
        (
            &["policy.blue_green.min_ready"],
            with_rolling.clone(),
            &["update_mask.paths[0]"],
        ),
        (
            &["policy"],
            with_rolling.clone(),
            &["policy.rolling_update"],
        ),
        (
            &["policy.rolling_update.max_surge.percent"],
            with_rolling,
            &["policy.rolling_update.max_surge.percent"],
        ),
        (
            &["policy.blue_green.gate_timeout.action"],
            nothing(),
            &["policy.blue_green.gate_timeout.action"],
        ),
        (
            &[],
            out_of_bounds.clone(),
            &["request_id", "revision_history_limit", "target_replicas"],
        ),
        // What is not named is not looked at.
        (
            &["labels", "target_replicas"],
            out_of_bounds,
            &["request_id", "target_replicas"],
        ),
    ];
    for (paths, request, expected) in rows {
        let refusal = api.update(masked(paths, request)).await;
        let refusal = refusal.expect_err("it cannot be");
        assert_eq!(field_paths(&refusal), expected, "{paths:?}");
    }
    assert_eq!(api.get(&before.id).await, before);
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn settings_that_do_not_fit_what_there_is_are_refused(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rolling_policy = DeploymentPolicy {
        strategy: Some(rolling(Value::Count(1), Value::Count(0))),
        ..DeploymentPolicy::default()
    };
    let on_rolling = idle(&api, 0, rolling_policy).await;
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

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn a_rollout_keeps_its_strategy(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let gate = world.at_gate(1, manual()).await;
    let request = || masked(&["policy.rolling_update"], update(REFERENCE));
    let refusal = world.api.update(request()).await;
    prevented(
        &refusal.expect_err("2 is being deployed"),
        "STRATEGY_IN_USE",
    );
    assert_eq!(world.get().await, gate);
    world.promote().await;
    world.api.update(request()).await.expect("no rollout");
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test]
async fn another_target_scales_both_sides(#[case] engine: Engine) {
    let world = World::start(engine).await;
    let gate = world.at_gate(1, manual()).await;
    let scale = |target_replicas| UpdateDeploymentRequest {
        target_replicas,
        ..masked(&["target_replicas"], update(REFERENCE))
    };
    let updated = world.api.update(scale(3)).await.expect("it is taken");
    assert_eq!(updated.generation, gate.generation + 1);
    let sides = |it: &Deployment| (it.blue.unwrap_or_default(), it.green.unwrap_or_default());
    world
        .until("three on both sides", |it| {
            let (blue, green) = sides(it);
            (blue.ready, green.ready) == (3, 3)
        })
        .await;
    // What is there already is no change.
    let before = world.get().await;
    let again = world.api.update(scale(3)).await.expect("it is taken");
    assert_eq!(again.generation, before.generation);
    world.api.update(scale(0)).await.expect("it is taken");
    world
        .until("none on both sides", |it| {
            let (blue, green) = sides(it);
            blue.active_traffic + blue.ready + green.ready == 0
        })
        .await;
}

#[rstest]
#[case::sqlite(Engine::Sqlite)]
#[case::postgres(Engine::Postgres)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn updates_at_the_same_time_lose_nothing(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let before = idle(&api, 0, manual()).await;
    let paths = [
        "policy.progress_deadline",
        "policy.drain_grace",
        "policy.blue_green.auto_promote",
        "policy.blue_green.promote_delay",
        "policy.blue_green.min_ready",
        "policy.blue_green.max_replacements",
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
    assert_eq!(after.generation, before.generation + 8);
    let stale = UpdateDeploymentRequest {
        expected_generation: Some(before.generation),
        ..masked(&["policy"], update(&before.id))
    };
    let refusal = api.update(stale).await.expect_err("it moved on");
    refused(&refusal, Code::Aborted, "GENERATION_MISMATCH");
}

/// Asserts that an update comes to one change, and to no other.
async fn changes(api: &Api, before: Deployment, request: UpdateDeploymentRequest, change: Change) {
    let mask = format!("{:?}", request.update_mask);
    let updated = api.update(request).await.expect(&mask);
    let mut expected = before.clone();
    change(&mut expected);
    assert_eq!(updated.generation, before.generation + 1, "{mask}");
    assert_eq!(updated.target_replicas, expected.target_replicas, "{mask}");
    assert_eq!(updated.labels, expected.labels, "{mask}");
    assert_eq!(updated.policy, expected.policy, "{mask}");
    assert_eq!(
        updated.revision_history_limit, expected.revision_history_limit,
        "{mask}"
    );
    let seen = api.get(&before.id).await;
    assert_eq!(seen.policy, updated.policy);
}

/// A deployment without a revision, which nothing but calls changes.
async fn idle(api: &Api, index: usize, policy: DeploymentPolicy) -> Deployment {
    let request = CreateDeploymentRequest {
        name: format!("web-{index}"),
        labels: labels("tier", "web"),
        revision_history_limit: 5,
        initial_revision: None,
        ..creation(2, policy)
    };
    let created = api.create(request).await.expect("it can be created");
    // After the cycle that follows.
    api.until(&created.id, "rest", |it| {
        it.lifecycle() == created.lifecycle()
    })
    .await
}

fn masked(paths: &[&str], request: UpdateDeploymentRequest) -> UpdateDeploymentRequest {
    UpdateDeploymentRequest {
        update_mask: Some(prost_types::FieldMask {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }),
        ..request
    }
}

fn labels(key: &str, value: &str) -> std::collections::BTreeMap<String, String> {
    [(key.to_owned(), value.to_owned())].into()
}

fn old_policy() -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
            auto_promote: true,
            promote_delay: seconds(1.0),
            min_ready: seconds(2.0),
            max_replacements: 3,
            scale_down_delay: seconds(4.0),
            gate_timeout: Some(GateTimeout {
                duration: seconds(60.0),
                action: GateTimeoutAction::Rollback.into(),
            }),
        })),
        progress_deadline: seconds(100.0),
        drain_grace: seconds(7.0),
    }
}

/// What the requests of the first table come to when taken as a whole.
fn new_policy() -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(new_spec())),
        progress_deadline: seconds(600.0),
        drain_grace: seconds(1.0),
    }
}

fn new_spec() -> BlueGreenSpec {
    BlueGreenSpec {
        auto_promote: false,
        promote_delay: seconds(9.0),
        min_ready: seconds(0.0),
        max_replacements: 0,
        scale_down_delay: seconds(0.0),
        gate_timeout: None,
    }
}

fn default_policy() -> DeploymentPolicy {
    DeploymentPolicy {
        strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
            promote_delay: seconds(0.0),
            ..new_spec()
        })),
        progress_deadline: seconds(600.0),
        drain_grace: seconds(5.0),
    }
}

fn policy(deployment: &mut Deployment) -> &mut DeploymentPolicy {
    deployment.policy.as_mut().expect("a policy")
}

fn spec(deployment: &mut Deployment) -> &mut BlueGreenSpec {
    match &mut policy(deployment).strategy {
        Some(Strategy::BlueGreen(spec)) => spec,
        other => panic!("not blue-green: {other:?}"),
    }
}

fn rolling(max_surge: Value, max_unavailable: Value) -> Strategy {
    Strategy::RollingUpdate(RollingUpdateSpec {
        max_surge: int_or_percent(max_surge),
        max_unavailable: int_or_percent(max_unavailable),
    })
}

fn int_or_percent(value: Value) -> Option<IntOrPercent> {
    Some(IntOrPercent { value: Some(value) })
}
