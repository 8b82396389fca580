//! What a policy may say.

use viridian_strategy::{
    BlueGreen, GateAction, GateTimeout, IntOrPercent, MAX_DURATION, MAX_REPLICAS, Policy,
    PolicyError, RollingUpdate, Strategy,
};

use crate::case::secs;

fn blue_green(change: impl FnOnce(&mut BlueGreen)) -> Vec<PolicyError> {
    let mut spec = BlueGreen::default();
    change(&mut spec);
    let strategy = Strategy::BlueGreen(spec);
    Policy {
        strategy,
        ..Policy::default()
    }
    .errors()
}

fn rolling(max_surge: IntOrPercent, max_unavailable: IntOrPercent) -> Vec<PolicyError> {
    let strategy = Strategy::Rolling(RollingUpdate {
        max_surge,
        max_unavailable,
    });
    Policy {
        strategy,
        ..Policy::default()
    }
    .errors()
}

#[test]
fn the_defaults() {
    let policy = Policy::default();
    assert_eq!(policy.strategy, Strategy::BlueGreen(BlueGreen::default()));
    assert_eq!(
        (
            policy.progress_deadline,
            policy.drain_grace,
            policy.replace_unhealthy_after
        ),
        (secs(600), secs(5), secs(0))
    );
    let spec = BlueGreen::default();
    assert!(!spec.auto_promote && spec.gate_timeout.is_none());
    assert_eq!(
        (spec.promote_delay, spec.min_ready, spec.scale_down_delay),
        Default::default()
    );
    assert_eq!(spec.max_replacements, None);
    let rolling = RollingUpdate::default();
    assert_eq!(rolling.max_surge, IntOrPercent::Percent(25));
    assert_eq!(rolling.max_unavailable, IntOrPercent::Count(0));
    assert_eq!(policy.errors(), []);
}

#[test]
fn durations_are_at_most_30_days() {
    let long = MAX_DURATION + secs(1);
    let gate = |duration| GateTimeout {
        duration,
        action: GateAction::Hold,
    };
    let too_long = |name: &str| [PolicyError::TooLong(name.to_owned())];
    assert_eq!(MAX_DURATION, secs(30 * 86_400));
    assert_eq!(blue_green(|spec| spec.min_ready = MAX_DURATION), []);
    assert_eq!(
        blue_green(|spec| spec.min_ready = long),
        too_long("blue_green.min_ready")
    );
    assert_eq!(
        blue_green(|spec| spec.promote_delay = long),
        too_long("blue_green.promote_delay")
    );
    assert_eq!(
        blue_green(|spec| spec.scale_down_delay = long),
        too_long("blue_green.scale_down_delay")
    );
    assert_eq!(
        blue_green(|spec| spec.gate_timeout = Some(gate(long))),
        too_long("blue_green.gate_timeout.duration")
    );
    assert_eq!(
        blue_green(|spec| spec.gate_timeout = Some(gate(secs(0)))),
        [PolicyError::GateTimeoutZero(
            "blue_green.gate_timeout.duration".to_owned()
        )]
    );
    let policy = Policy {
        drain_grace: long,
        ..Policy::default()
    };
    assert_eq!(policy.errors(), too_long("drain_grace"));
    let policy = Policy {
        replace_unhealthy_after: long,
        ..Policy::default()
    };
    assert_eq!(policy.errors(), too_long("replace_unhealthy_after"));
}

#[test]
fn counts_and_percents_are_bounded() {
    use IntOrPercent::{Count, Percent};
    let (surge, unavailable) = ("rolling_update.max_surge", "rolling_update.max_unavailable");
    assert_eq!(rolling(Count(MAX_REPLICAS), Percent(100)), []);
    assert_eq!(
        rolling(Count(1_001), Count(0)),
        [PolicyError::CountTooLarge(surge.to_owned())]
    );
    assert_eq!(
        rolling(Count(0), Count(1_001)),
        [PolicyError::CountTooLarge(unavailable.to_owned())]
    );
    assert_eq!(
        rolling(Percent(101), Count(0)),
        [PolicyError::PercentTooLarge(surge.to_owned())]
    );
    assert_eq!(
        rolling(Count(1), Percent(101)),
        [PolicyError::PercentTooLarge(unavailable.to_owned())]
    );
    assert_eq!(rolling(Count(0), Percent(0)), [PolicyError::NoRoomToRoll]);
    let threshold = |amount| blue_green(|spec| spec.ready_threshold = Some(amount));
    let path = "blue_green.ready_threshold";
    assert_eq!(threshold(Count(MAX_REPLICAS)), []);
    assert_eq!(threshold(Percent(1)), []);
    assert_eq!(
        threshold(Count(0)),
        [PolicyError::ReplicasZero(path.to_owned())]
    );
    assert_eq!(
        threshold(Percent(0)),
        [PolicyError::ReplicasZero(path.to_owned())]
    );
    assert_eq!(
        threshold(Count(1_001)),
        [PolicyError::CountTooLarge(path.to_owned())]
    );
    assert_eq!(
        threshold(Percent(101)),
        [PolicyError::PercentTooLarge(path.to_owned())]
    );
    assert_eq!(
        blue_green(|spec| spec.max_replacements = Some(MAX_REPLICAS)),
        []
    );
    assert_eq!(
        blue_green(|spec| spec.max_replacements = Some(MAX_REPLICAS + 1)),
        [PolicyError::CountTooLarge(
            "blue_green.max_replacements".to_owned()
        )]
    );
}
