//! Routes that are gone and not replaced: what a replacement replaces.

use viridian_strategy::lost_routes;

use crate::case::{
    BLUE, FailedToStart, Healthy, NotChecked, Provisioning, ReplicaSpec, Running, Terminated,
    Terminating, blue, green, ready,
};

fn lost(routes: impl IntoIterator<Item = ReplicaSpec>) -> Vec<u128> {
    let case = ready(3, routes);
    let lost = lost_routes(&case.routes, BLUE);
    lost.map(|route| route.id.0.as_u128()).collect()
}

#[test]
fn what_failed_and_what_its_scheduler_takes_away_is_lost() {
    let found = lost([
        blue(Running, Healthy),
        blue(Terminated, Healthy).at(90),
        blue(FailedToStart, NotChecked).at(90),
        blue(Terminating, Healthy).evicted(90),
        blue(Terminating, Healthy).drained(90),
        blue(Terminated, Healthy).drained(90),
        green(Terminated, Healthy).at(90),
    ]);
    assert_eq!(found, [2, 3, 4]);
}

#[test]
fn what_was_replaced_is_not_lost_any_more() {
    let replaced = blue(Terminated, Healthy).at(50);
    let replacement = blue(Provisioning, NotChecked).created(60);
    assert!(lost([replaced, replacement]).is_empty());
    // It ends after its replacement was created.
    let evicted = blue(Terminated, Healthy).at(70).evicted(50);
    assert!(lost([evicted, replacement]).is_empty());
    let failed_too = blue(FailedToStart, NotChecked).created(60).at(70);
    assert_eq!(lost([replaced, failed_too]), [2]);
}
