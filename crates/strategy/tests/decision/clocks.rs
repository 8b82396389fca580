//! The progress deadline: it starts over with one more ready, and stands still
//! while all are. It is 600 s.

use viridian_strategy::Route;

use crate::scene::{
    GREEN, Healthy, Replica, Running, Scene, Unhealthy, at, blue, deploying, green, secs,
};

/// Three green that run, none of them ready: 4, 5 and 6.
fn started() -> Scene {
    let unready = green(Running, Unhealthy).times(3);
    deploying(3, [serving(), unready]).now(0)
}

fn serving() -> Replica {
    blue(Running, Healthy).times(3)
}

#[test]
fn one_more_ready_starts_it_over() {
    let mut scene = started();
    assert_eq!(scene.says(), "PROVISIONING, wake 600");
    scene.pass_to(500);
    scene.report(4, Running, Healthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 1100");
    scene.pass_to(1000);
    scene.report(5, Running, Healthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 1600");
    scene.pass_to(1599);
    assert!(!scene.is_ready());
    scene.pass_to(1600);
    assert!(scene.is_ready(), "rolled back");
}

#[test]
fn one_that_comes_and_goes_does_not() {
    let mut scene = started();
    scene.report(4, Running, Healthy);
    scene.pass_to(100);
    for (second, health) in [
        (200, Unhealthy),
        (300, Healthy),
        (400, Unhealthy),
        (500, Healthy),
    ] {
        scene.report(4, Running, health);
        assert_eq!(scene.says(), "PROVISIONING, wake 600");
        scene.pass_to(second);
    }
    scene.pass_to(600);
    assert_eq!(scene.says(), "READY blue");
}

#[test]
fn it_stands_still_at_a_gate() {
    let mut scene = started();
    scene.pass_to(400);
    scene.report_all(4..=6, Running, Healthy);
    assert_eq!(scene.says(), "AWAITING_PROMOTION");
    assert_eq!(scene.evaluate().deadline, None);
    scene.pass_to(1_000_000);
    assert_eq!(scene.says(), "AWAITING_PROMOTION");
    scene.report(5, Running, Unhealthy);
    assert_eq!(
        scene.says(),
        "PROVISIONING, wake 1000600",
        "it had started over at 400"
    );
    scene.pass_to(1_000_599);
    assert!(!scene.is_ready());
    scene.pass_to(1_000_600);
    assert!(scene.is_ready(), "rolled back");
}

#[test]
fn it_stands_still_while_all_are_ready() {
    let mut scene = started().blue_green(|spec| spec.min_ready = secs(5_000));
    scene.report_all(4..=6, Running, Healthy);
    scene.pass_to(4_000);
    assert_eq!(scene.says(), "PROVISIONING, wake 5000");
    scene.report(5, Running, Unhealthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 4600");
}

#[test]
fn it_goes_on_from_where_it_stood() {
    let mut scene = started();
    scene.report_all(4..=6, Running, Healthy);
    scene.pass_to(100);
    // 400 s with one that is not ready, 100 s with all, then 200 s more.
    scene.report(4, Running, Unhealthy);
    scene.pass_to(500);
    scene.report(4, Running, Healthy);
    scene.pass_to(600);
    scene.report(4, Running, Unhealthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 800");
    scene.pass_to(800);
    assert_eq!(scene.says(), "READY blue");
}

#[test]
fn after_scaling_up_the_new_ones_are_progress() {
    let mut scene = started();
    scene.report_all(4..=6, Running, Healthy);
    scene.pass_to(1_000);
    scene.deployment.target_replicas = 5;
    assert_eq!(
        scene.says(),
        "PROVISIONING, create 2 green INACTIVE, create 2 blue ACTIVE, wake 1600"
    );
    scene.pass_to(1_500);
    let new = |route: &Route| route.created_at == at(1_000) && route.revision == GREEN;
    let new = scene.routes.iter().position(new).expect("a new green") + 1;
    scene.report(new, Running, Healthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 2100");
}

#[test]
fn after_scaling_down_and_up_they_are_progress_too() {
    let mut scene = started();
    scene.report_all(4..=6, Running, Healthy);
    scene.settle();
    scene.deployment.target_replicas = 1;
    scene.pass_to(1_000);
    scene.deployment.target_replicas = 3;
    scene.pass_to(1_500);
    let new = |route: &Route| route.created_at == at(1_000) && route.revision == GREEN;
    let new = scene.routes.iter().position(new).expect("a new green") + 1;
    scene.report(new, Running, Healthy);
    assert_eq!(scene.says(), "PROVISIONING, wake 2100");
}
