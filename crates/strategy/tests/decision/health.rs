//! Every value of health lands in a bucket, and only HEALTHY is ready. The
//! Python ancestor knew HEALTHY and UNHEALTHY: the others made it create green
//! again and again, or hang in DEPLOYING.

use viridian_strategy::{RouteHealth, RouteStatus, RouteTraffic, counts};

use crate::case::{
    Degraded, FailedToStart, Healthy, NotChecked, Provisioning, Running, Terminated, Terminating,
    Unhealthy, blue, compare, deploying, green, ready,
};

const STATUSES: [RouteStatus; 5] = [
    Provisioning,
    Running,
    Terminating,
    Terminated,
    FailedToStart,
];
const HEALTHS: [RouteHealth; 4] = [NotChecked, Healthy, Unhealthy, Degraded];

#[test]
fn every_status_with_every_health_is_in_one_bucket() {
    for status in STATUSES {
        for health in HEALTHS {
            let case = deploying(1, [green(status, health)]);
            let (_, green) = counts(&case.deployment, &case.routes);
            let expected = match (status, health) {
                (Provisioning, _) => (1, 0, 0, 0),
                (Running, Healthy) => (0, 1, 0, 0),
                (Running, _) => (0, 0, 1, 0),
                (Terminating, _) => (0, 0, 0, 0),
                (Terminated | FailedToStart, _) => (0, 0, 0, 1),
            };
            let buckets = (
                green.provisioning,
                green.ready,
                green.unhealthy,
                green.failed,
            );
            assert_eq!(buckets, expected, "{status:?} {health:?}");
        }
    }
}

#[test]
fn no_unready_health_makes_a_duplicate_or_an_endless_rollout() {
    for health in [NotChecked, Unhealthy, Degraded] {
        let mut case = deploying(3, [blue(Running, Healthy).times(3)])
            .auto(0)
            .now(0);
        case.settle();
        case.report_all(4..=6, Running, health);
        for second in (10..600).step_by(10) {
            case.pass_to(second);
            assert_eq!(case.routes.len(), 6, "{health:?}: a duplicate green");
            assert!(!case.is_ready(), "{health:?}: given up, or promoted");
        }
        case.pass_to(600);
        assert_eq!(case.says(), "READY blue", "{health:?}");
        let green_is_over = case.routes[3..]
            .iter()
            .all(|route| route.status == Terminating);
        assert!(green_is_over, "{health:?}");
    }
}

#[test]
fn the_sentence_names_each_health() {
    let case = deploying(
        5,
        [
            green(Running, Healthy),
            green(Running, Degraded).at(30),
            green(Running, Degraded).at(31),
            green(Running, Unhealthy).at(61),
            green(Running, NotChecked).at(62),
        ],
    );
    let said = case.blockers().join("");
    let expected = "1 of 5 green routes is ready; 1 is UNHEALTHY since 1970-01-01 00:01:01 UTC; \
                    2 are DEGRADED since 1970-01-01 00:00:30 UTC; 1 is NOT_CHECKED since 1970-01-01 00:01:02 UTC";
    compare([("all three", said, expected)]);
}

#[test]
fn the_legal_moves_of_a_route() {
    let legal = [
        (Provisioning, Running),
        (Provisioning, FailedToStart),
        (Provisioning, Terminating),
        (Running, Terminating),
        (Running, Terminated),
        (Terminating, Terminated),
    ];
    for from in STATUSES {
        for to in STATUSES {
            let expected = legal.contains(&(from, to));
            assert_eq!(from.may_become(to), expected, "{from:?} to {to:?}");
        }
    }
}

#[test]
fn a_route_has_traffic_until_it_ends() {
    let mut case = ready(1, [blue(Provisioning, NotChecked)]);
    for (status, traffic) in [
        (Running, RouteTraffic::Active),
        (Terminating, RouteTraffic::Inactive),
        (Terminated, RouteTraffic::Inactive),
    ] {
        case.report(1, status, Healthy);
        assert_eq!(case.routes[0].traffic, traffic, "{status:?}");
    }
    let mut case = ready(1, [blue(Provisioning, NotChecked)]);
    case.report(1, FailedToStart, NotChecked);
    assert_eq!(case.routes[0].traffic, RouteTraffic::Inactive);
}
