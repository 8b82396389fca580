//! Update: what may be asked for, and when.

use viridian_strategy::{
    BlueGreen, IntOrPercent, Lifecycle, MAX_DURATION, MAX_REPLICAS, Policy, PolicyError,
    RollingUpdate, State, Strategy,
    verbs::{
        self,
        UpdateRejection::{self, Gone, StrategyInUse, TooManyReplicas},
    },
};

use crate::scene::{
    Healthy, Replica, Running, Scene, awaiting, blue, deploying, destroying, pending, ready, scene,
    secs,
};

fn serving() -> Replica {
    blue(Running, Healthy).times(3)
}

fn rolling() -> Policy {
    with(Strategy::Rolling(RollingUpdate::default()))
}

fn other_blue_green() -> Policy {
    with(Strategy::BlueGreen(BlueGreen {
        auto_promote: true,
        promote_delay: secs(5),
        ..BlueGreen::default()
    }))
}

fn with(strategy: Strategy) -> Policy {
    Policy {
        strategy,
        ..Policy::default()
    }
}

#[test]
fn is_taken() {
    let one = IntOrPercent::Count(1);
    let rows: [(&str, Scene, u32, Policy); 7] = [
        ("PENDING", pending(3, [serving()]), 5, rolling()),
        ("READY", ready(3, [serving()]), 0, rolling()),
        ("the most", ready(3, [serving()]), MAX_REPLICAS, rolling()),
        ("paused", ready(3, [serving()]).paused(), 4, rolling()),
        (
            "PROVISIONING, other values of blue-green",
            deploying(3, [serving()]),
            4,
            other_blue_green(),
        ),
        (
            "AWAITING_PROMOTION",
            awaiting(3, [serving()]),
            4,
            other_blue_green(),
        ),
        (
            "other values of rolling",
            deploying(3, [serving()]).rolling(one, one),
            4,
            rolling(),
        ),
    ];
    for (name, scene, target, policy) in rows {
        let updated = verbs::update(&scene.deployment, &scene.policy, target, &policy);
        let mut expected = scene.deployment;
        expected.target_replicas = target;
        assert_eq!(updated, Ok(expected), "{name}");
    }
}

#[test]
fn is_refused() {
    let one = IntOrPercent::Count(1);
    let wrong = Policy {
        progress_deadline: MAX_DURATION + secs(1),
        ..Policy::default()
    };
    let errors = UpdateRejection::Policy(vec![PolicyError::TooLong("progress_deadline")]);
    let tombstone = scene(State::Destroyed { current: None }, 3, []);
    let rows: [(&str, Scene, u32, Policy, UpdateRejection); 7] = [
        (
            "too many",
            ready(3, [serving()]),
            MAX_REPLICAS + 1,
            rolling(),
            TooManyReplicas,
        ),
        ("a rule", ready(3, [serving()]), 3, wrong, errors),
        (
            "to rolling while DEPLOYING",
            deploying(3, [serving()]),
            3,
            rolling(),
            StrategyInUse,
        ),
        (
            "to rolling while rolling back",
            deploying(3, [serving()]).rolling_back(),
            3,
            rolling(),
            StrategyInUse,
        ),
        (
            "to blue-green while DEPLOYING",
            deploying(3, [serving()]).rolling(one, one),
            3,
            other_blue_green(),
            StrategyInUse,
        ),
        (
            "DESTROYING",
            destroying([serving()]),
            3,
            rolling(),
            Gone(Lifecycle::Destroying),
        ),
        (
            "DESTROYED",
            tombstone,
            3,
            rolling(),
            Gone(Lifecycle::Destroyed),
        ),
    ];
    for (name, scene, target, policy, expected) in rows {
        let refused = verbs::update(&scene.deployment, &scene.policy, target, &policy);
        assert_eq!(refused, Err(expected), "{name}");
    }
}
