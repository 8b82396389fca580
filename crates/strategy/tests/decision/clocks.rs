//! The progress deadline: it starts over with one more ready, and stands still
//! while all are. It is 600 s.

use viridian_strategy::ObservedRoute;

use crate::case::{
    DecisionCase, GREEN, Healthy, ReplicaSpec, Running, Unhealthy, at, blue, deploying, green, secs,
};

/// Three green that run, none of them ready: 4, 5 and 6.
fn started() -> DecisionCase {
    let unready = green(Running, Unhealthy).times(3);
    deploying(3, [serving(), unready]).now(0)
}

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(3)
}

#[test]
fn one_more_ready_starts_it_over() {
    let mut case = started();
    assert_eq!(case.says(), "PROVISIONING, wake 600");
    case.pass_to(500);
    case.report(4, Running, Healthy);
    assert_eq!(case.says(), "PROVISIONING, wake 1100");
    case.pass_to(1000);
    case.report(5, Running, Healthy);
    assert_eq!(case.says(), "PROVISIONING, wake 1600");
    case.pass_to(1599);
    assert!(!case.is_ready());
    case.pass_to(1600);
    assert!(case.is_ready(), "rolled back");
}

#[test]
fn one_that_comes_and_goes_does_not() {
    let mut case = started();
    case.report(4, Running, Healthy);
    case.pass_to(100);
    for (second, health) in [
        (200, Unhealthy),
        (300, Healthy),
        (400, Unhealthy),
        (500, Healthy),
    ] {
        case.report(4, Running, health);
        assert_eq!(case.says(), "PROVISIONING, wake 600");
        case.pass_to(second);
    }
    case.pass_to(600);
    assert_eq!(case.says(), "READY blue");
}

#[test]
fn it_stands_still_at_a_gate() {
    let mut case = started();
    case.pass_to(400);
    case.report_all(4..=6, Running, Healthy);
    assert_eq!(case.says(), "AWAITING_PROMOTION");
    assert_eq!(case.evaluate().deadline, None);
    case.pass_to(1_000_000);
    assert_eq!(case.says(), "AWAITING_PROMOTION");
    case.report(5, Running, Unhealthy);
    assert_eq!(
        case.says(),
        "PROVISIONING, wake 1000600",
        "it had started over at 400"
    );
    case.pass_to(1_000_599);
    assert!(!case.is_ready());
    case.pass_to(1_000_600);
    assert!(case.is_ready(), "rolled back");
}

#[test]
fn it_stands_still_while_all_are_ready() {
    let mut case = started().blue_green(|spec| spec.min_ready = secs(5_000));
    case.report_all(4..=6, Running, Healthy);
    case.pass_to(4_000);
    assert_eq!(case.says(), "PROVISIONING, wake 5000");
    case.report(5, Running, Unhealthy);
    assert_eq!(case.says(), "PROVISIONING, wake 4600");
}

#[test]
fn it_goes_on_from_where_it_stood() {
    let mut case = started();
    case.report_all(4..=6, Running, Healthy);
    case.pass_to(100);
    // 400 s with one that is not ready, 100 s with all, then 200 s more.
    case.report(4, Running, Unhealthy);
    case.pass_to(500);
    case.report(4, Running, Healthy);
    case.pass_to(600);
    case.report(4, Running, Unhealthy);
    assert_eq!(case.says(), "PROVISIONING, wake 800");
    case.pass_to(800);
    assert_eq!(case.says(), "READY blue");
}

#[test]
fn after_scaling_up_the_new_ones_are_progress() {
    let mut case = started();
    case.report_all(4..=6, Running, Healthy);
    case.pass_to(1_000);
    case.deployment.target_replicas = 5;
    assert_eq!(
        case.says(),
        "PROVISIONING, create 2 green INACTIVE, create 2 blue ACTIVE, wake 1600"
    );
    case.pass_to(1_500);
    let new = |route: &ObservedRoute| route.created_at == at(1_000) && route.revision == GREEN;
    let new = case.routes.iter().position(new).expect("a new green") + 1;
    case.report(new, Running, Healthy);
    assert_eq!(case.says(), "PROVISIONING, wake 2100");
}

#[test]
fn after_scaling_down_and_up_they_are_progress_too() {
    let mut case = started();
    case.report_all(4..=6, Running, Healthy);
    case.settle();
    case.deployment.target_replicas = 1;
    case.pass_to(1_000);
    case.deployment.target_replicas = 3;
    case.pass_to(1_500);
    let new = |route: &ObservedRoute| route.created_at == at(1_000) && route.revision == GREEN;
    let new = case.routes.iter().position(new).expect("a new green") + 1;
    case.report(new, Running, Healthy);
    assert_eq!(case.says(), "PROVISIONING, wake 2100");
}
