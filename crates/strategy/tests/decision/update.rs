//! Update: what may be asked for, and when.

use viridian_strategy::{
    BlueGreen, DeploymentState, IntOrPercent, Lifecycle, MAX_DURATION, MAX_REPLICAS, Policy,
    PolicyError, RollingUpdate, Strategy,
    verbs::{
        self,
        UpdateRejection::{self, Gone, StrategyInUse, TooManyReplicas},
    },
};

use crate::case::{
    DecisionCase, Healthy, ReplicaSpec, Running, awaiting, blue, case, deploying, destroying,
    pending, ready, secs,
};

fn serving() -> ReplicaSpec {
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
    let rows: [(&str, DecisionCase, u32, Policy); 7] = [
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
    for (name, case, target, policy) in rows {
        let updated = case.decide(|observed| verbs::update(observed, target, &policy));
        let mut expected = case.deployment;
        expected.target_replicas = target;
        expected.generation += 1;
        let updated = updated.map(|transition| transition.deployment);
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
    let errors =
        UpdateRejection::Policy(vec![PolicyError::TooLong("progress_deadline".to_owned())]);
    let tombstone = case(DeploymentState::Destroyed { current: None }, 3, []);
    let rows: [(&str, DecisionCase, u32, Policy, UpdateRejection); 7] = [
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
    for (name, case, target, policy, expected) in rows {
        let refused = case.decide(|observed| verbs::update(observed, target, &policy));
        assert_eq!(refused, Err(expected), "{name}");
    }
}
