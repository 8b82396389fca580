//! What is taken out: in what order, how soon it is stopped, and what is
//! retained for how long.

use viridian_strategy::{BlueGreen, Policy, StopWhen, counts};

use crate::case::{
    BLUE, DecisionCase, Degraded, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec, Running,
    Terminated, Unhealthy, at, blue, deploying, green, other, ready, secs, table,
};

#[test]
fn the_order_is_not_running_then_by_health_then_the_youngest() {
    let rows = [
        blue(Running, Healthy).created(-900),
        blue(Running, Healthy).created(-950),
        blue(Running, NotChecked).created(-900),
        blue(Running, Degraded),
        blue(Running, Unhealthy).created(-950),
        blue(Running, Unhealthy).created(-900),
        blue(Provisioning, NotChecked),
    ];
    let expected = [
        "",
        "7",
        "7 6",
        "7 6 5",
        "7 6 5 4",
        "7 6 5 4 3",
        "7 6 5 4 3 1",
    ];
    for (surplus, ids) in expected.iter().enumerate().skip(1) {
        let target = u32::try_from(rows.len() - surplus).expect("a small number");
        assert_eq!(
            ready(target, rows).says(),
            format!("READY blue, drain {ids}")
        );
    }
    let twins = ready(1, [blue(Running, Healthy).times(3)]);
    assert_eq!(
        twins.says(),
        "READY blue, drain 3 2",
        "the later id is the younger"
    );
}

#[test]
fn the_grace_is_for_routes_that_had_traffic() {
    let policy = Policy::default();
    let stop = |replica: ReplicaSpec| replica.route().stop_when(&policy, at(100)).not_before;
    assert_eq!(stop(blue(Running, Healthy)), at(105));
    assert_eq!(
        stop(blue(Running, Unhealthy)),
        at(105),
        "fail open may have sent it some"
    );
    assert_eq!(stop(blue(Running, Healthy).retained(50)), at(105));
    assert_eq!(
        stop(blue(Provisioning, NotChecked)),
        at(100),
        "it never ran"
    );
    assert_eq!(stop(green(Running, Healthy)), at(100));
    assert_eq!(stop(green(Provisioning, NotChecked)), at(100));
    let policy = Policy {
        drain_grace: secs(0),
        ..policy
    };
    assert_eq!(
        blue(Running, Healthy).route().stop_when(&policy, at(100)),
        StopWhen {
            not_before: at(100)
        }
    );
}

/// Promoted at 100 with blue retained for 50 s.
fn promoted() -> DecisionCase {
    let blues = [
        blue(Running, Healthy),
        blue(Running, Unhealthy),
        blue(Provisioning, NotChecked),
    ];
    let routes = blues.into_iter().chain([green(Running, Healthy).times(3)]);
    deploying(3, routes)
        .auto(0)
        .blue_green(|spec| spec.scale_down_delay = secs(50))
}

#[test]
fn blue_that_runs_is_retained_and_then_drained() {
    let mut case = promoted();
    assert_eq!(
        case.says(),
        "READY green by promotion, promote 4 5 6, retain 1 2, drain 3, wake 100"
    );
    case.settle();
    assert_eq!(case.says(), "READY green, wake 150");
    let (current, _) = counts(&case.deployment, &case.routes);
    assert_eq!(
        (current.ready, current.retained, current.active_traffic),
        (3, 2, 3)
    );
    case.pass_to(149);
    assert_eq!(case.says(), "READY green, wake 150");
    case.now = at(150);
    assert_eq!(case.says(), "READY green, drain 1 2");
}

#[test]
fn a_retained_route_is_no_replica() {
    let mut case = promoted();
    case.settle();
    case.report(4, Terminated, Healthy);
    assert_eq!(
        case.says(),
        "READY green, create 1 green ACTIVE, wake 150",
        "it does not stand in for one that is missing"
    );
    case.deployment.target_replicas = 2;
    case.report(1, Terminated, Healthy);
    assert_eq!(
        case.says(),
        "READY green, wake 150",
        "nor is it replaced, nor a surplus"
    );
}

#[test]
fn the_policy_may_change_the_end() {
    let mut case = promoted();
    case.settle();
    let longer = case
        .clone()
        .blue_green(|spec| spec.scale_down_delay = secs(70));
    assert_eq!(longer.says(), "READY green, wake 170");
    let none = case.blue_green(|spec| spec.scale_down_delay = secs(0));
    assert_eq!(none.says(), "READY green, drain 1 2");
}

#[test]
fn it_is_none_even_of_the_same_revision() {
    let keep_it = |spec: &mut BlueGreen| spec.scale_down_delay = secs(50);
    table([
        (
            "neither missing nor surplus in READY",
            ready(
                2,
                [blue(Running, Healthy), blue(Running, Healthy).retained(90)],
            )
            .blue_green(keep_it),
            "READY blue, create 1 blue ACTIVE, wake 140",
        ),
        (
            "no green",
            deploying(
                1,
                [blue(Running, Healthy), green(Running, Healthy).retained(90)],
            )
            .blue_green(keep_it),
            "PROVISIONING, create 1 green INACTIVE, wake 140",
        ),
    ]);
}

#[test]
fn it_ends_at_a_rollouts_side_too() {
    let routes = |since: i64| {
        [
            blue(Running, Healthy),
            green(Running, Healthy),
            other(Running, Healthy).retained(since),
        ]
    };
    let case = |since: i64| {
        deploying(1, routes(since)).blue_green(|spec| spec.scale_down_delay = secs(50))
    };
    table([
        ("not over", case(51), "AWAITING_PROMOTION, wake 101"),
        ("just over", case(50), "AWAITING_PROMOTION, drain 3"),
    ]);
}

#[test]
fn an_activation_drains_what_was_retained() {
    let mut case = promoted();
    case.settle();
    assert_eq!(
        case.activate(OTHER, false).as_deref(),
        Ok("PROVISIONING, drain 1 2")
    );
    let back = case.activate(BLUE, false);
    assert_eq!(
        back.as_deref(),
        Ok("PROVISIONING, drain 1 2"),
        "even of the same revision"
    );
}

#[test]
fn what_belongs_nowhere_is_drained() {
    let stray = other(Running, Healthy);
    table([
        (
            "READY",
            ready(1, [blue(Running, Healthy), stray]),
            "READY blue, drain 2",
        ),
        (
            "READY, of the revision that was rolled back",
            ready(1, [blue(Running, Healthy), green(Provisioning, NotChecked)]),
            "READY blue, drain 2",
        ),
        (
            "DEPLOYING",
            deploying(1, [blue(Running, Healthy), green(Running, Healthy), stray]),
            "AWAITING_PROMOTION, drain 3",
        ),
        (
            "ROLLING_BACK",
            deploying(1, [blue(Running, Healthy), green(Running, Healthy), stray]).rolling_back(),
            "READY blue by roll-back, drain 2 3, wake 100",
        ),
    ]);
}
