//! The mask says which fields change, and nothing else does.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    BlueGreenSpec, Deployment, DeploymentPolicy, DeploymentProtocol as Protocol, GateTimeout,
    GateTimeoutAction, RollingUpdateSpec, UpdateDeploymentRequest, deployment_policy::Strategy,
    int_or_percent::Value,
};

use super::fixture::{
    default_policy, idle, int_or_percent, labels, masked, new_policy, new_spec, old_policy, policy,
    rolling, spec,
};
use crate::{
    engines::both_engines,
    harness::{Api, Engine, Server, field_paths, seconds, update},
};

type Change = fn(&mut Deployment);

#[apply(both_engines)]
#[tokio::test]
async fn a_mask_says_what_changes(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rows: [(&[&str], Change); 14] = [
        (&["target_replicas"], |it| it.target_replicas = 4),
        (&["labels"], |it| it.labels = labels("tier", "gold")),
        (&["revision_history_limit"], |it| {
            it.revision_history_limit = 6
        }),
        (&["protocol"], |it| it.set_protocol(Protocol::Http2)),
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
            it.set_protocol(Protocol::Http2);
            it.policy = Some(new_policy());
        }),
        // Without a mask: what is set.
        (&[], |it| {
            it.target_replicas = 4;
            it.labels = labels("tier", "gold");
            it.revision_history_limit = 6;
            it.set_protocol(Protocol::Http2);
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
                protocol: Protocol::Http2.into(),
                policy: Some(DeploymentPolicy {
                    strategy: Some(Strategy::BlueGreen(BlueGreenSpec {
                        promote_delay: seconds(9.0),
                        ..BlueGreenSpec::default()
                    })),
                    drain_grace: seconds(1.0),
                    progress_deadline: None,
                    first_deadline: None,
                    replace_unhealthy_after: None,
                }),
                ..update(&before.id)
            },
        );
        changes(&api, before, request, change).await;
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn what_is_named_and_not_set_gets_its_default(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let rows: [(&[&str], Change); 7] = [
        (&["target_replicas"], |it| it.target_replicas = 0),
        (&["labels"], |it| it.labels.clear()),
        (&["revision_history_limit"], |it| {
            it.revision_history_limit = 10
        }),
        (&["protocol"], |it| it.set_protocol(Protocol::Http1)),
        (&["policy"], |it| it.policy = Some(default_policy())),
        (&["policy.rolling_update"], |it| {
            policy(it).strategy = Some(rolling(Value::Percent(25), Value::Count(0)));
        }),
        (&["*"], |it| {
            it.target_replicas = 0;
            it.labels.clear();
            it.revision_history_limit = 10;
            it.set_protocol(Protocol::Http1);
            it.policy = Some(default_policy());
        }),
    ];
    for (index, (paths, change)) in rows.into_iter().enumerate() {
        let before = idle(&api, index, old_policy()).await;
        let request = masked(paths, update(&before.id));
        changes(&api, before, request, change).await;
    }
}

#[apply(both_engines)]
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
        strategy: Some(strategy.clone()),
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

#[apply(both_engines)]
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
        protocol: 4,
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
            &[
                "protocol",
                "request_id",
                "revision_history_limit",
                "target_replicas",
            ],
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
    assert_eq!(updated.protocol, expected.protocol, "{mask}");
    let seen = api.get(&before.id).await;
    assert_eq!(seen.policy, updated.policy);
    assert_eq!(seen.protocol, updated.protocol);
}
