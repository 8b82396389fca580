//! `first_deadline`: a first revision that does not come up in time.

use viridian_strategy::{Policy, RolloutEnd, Stopwatch, verbs};

use crate::case::{
    BLUE, DecisionCase, FailedToStart, GREEN, Healthy, NotChecked, Provisioning, ReplicaSpec,
    Running, Unhealthy, at, blue, pending, secs,
};

/// A first revision since 0, with 60 s to come up.
fn first(routes: impl IntoIterator<Item = ReplicaSpec>) -> DecisionCase {
    let mut case = pending(2, routes);
    case.deployment.coming_up = Some(Stopwatch::started(at(0)));
    case.policy.first_deadline = Some(secs(60));
    case
}

fn starting() -> ReplicaSpec {
    blue(Provisioning, NotChecked)
}

/// The outcome, the route that says why, and the sentence; empty if nothing ends.
fn end_of(case: &DecisionCase) -> String {
    let transition = case.evaluate().transition;
    let Some(RolloutEnd {
        revision,
        outcome,
        failure,
        is_way_back: _,
    }) = transition.ended
    else {
        return String::new();
    };
    assert_eq!(revision, BLUE);
    let failure = failure.map_or(0, |id| id.0.as_u128());
    let reason = transition.reason.expect("it says why");
    format!("{} by {failure}: {reason}", outcome.as_str())
}

#[test]
fn a_first_revision_that_does_not_come_up_is_recorded_as_failed() {
    let up = blue(Running, Healthy);
    let rows = [
        ("in time", first([up, starting()]).now(59), ""),
        (
            "one is missing",
            first([up, starting()]).now(60),
            "FAILED by 0: did not come up within 60 s: 1 of 2 routes is ready; it is tried on",
        ),
        (
            "the one that failed says why",
            first([
                starting(),
                blue(Running, Unhealthy),
                blue(FailedToStart, NotChecked),
            ])
            .now(60),
            "FAILED by 3: did not come up within 60 s: 0 of 2 routes are ready; it is tried on",
        ),
        (
            "what comes up at that moment has come up",
            first([up.times(2)]).now(60),
            "PROMOTED by 0: 2 routes are ready",
        ),
        (
            "it is recorded once",
            {
                let mut case = first([starting()]).now(61);
                case.deployment.coming_up = None;
                case
            },
            "",
        ),
    ];
    for (name, case, expected) in rows {
        assert_eq!(end_of(&case), expected, "{name}");
    }
}

#[test]
fn it_is_tried_on() {
    let mut case = first([starting(), blue(FailedToStart, NotChecked)]).now(60);
    let evaluation = case.cycle();
    assert_eq!(evaluation.deadline, None);
    assert_eq!(case.says(), "PENDING blue");
    assert_eq!(end_of(&case), "", "once");
    let up = first([blue(Running, Healthy).times(2)]).now(70);
    assert_eq!(up.evaluate().transition.deployment.coming_up, None);
}

#[test]
fn the_progress_deadline_counts_where_no_other_is_set() {
    let of = |first_deadline| Policy {
        first_deadline,
        progress_deadline: secs(30),
        ..Policy::default()
    };
    assert_eq!(of(None).first_deadline(), secs(30));
    assert_eq!(of(Some(secs(5))).first_deadline(), secs(5));
    let mut case = first([starting()]).now(20);
    case.policy = of(None);
    assert_eq!(case.evaluate().deadline, Some(at(30)));
    case.policy = of(Some(secs(20)));
    assert_ne!(end_of(&case), "", "a shorter one counts at once");
}

#[test]
fn its_clock_stands_still_in_a_pause_and_without_replicas() {
    let mut case = first([starting()]).now(40);
    case.pause(true).expect("it is not paused");
    case.now = at(500);
    assert_eq!(end_of(&case), "");
    case.pause(false).expect("it is paused");
    assert_eq!(case.cycle().deadline, Some(at(520)));

    let mut case = first([]).now(40).asked();
    case.deployment.target_replicas = 0;
    assert_eq!(case.cycle().deadline, None);
    case.now = at(500);
    case.deployment.target_replicas = 1;
    assert_eq!(case.cycle().deadline, Some(at(520)));
}

/// While another revision is deployed over it, that one has a deadline of its own.
#[test]
fn its_clock_stands_still_while_another_revision_is_deployed_over_it() {
    let mut case = first([blue(Running, Healthy).active(), starting().active()]).now(40);
    let over = case
        .try_activate(GREEN, false)
        .expect("nothing is in the way");
    case.apply(&over);
    case.now = at(500);
    let back = case.try_abort().expect("it is under way");
    case.apply(&back);
    assert_eq!(case.cycle().deadline, Some(at(520)));
}

#[test]
fn a_revision_that_replaces_the_first_one_has_the_whole_time() {
    let mut case = first([starting()]).now(100);
    case.cycle();
    assert_eq!(case.deployment.coming_up, None, "it has failed");
    let fix = case
        .try_activate(GREEN, false)
        .expect("nothing is in the way");
    case.apply(&fix);
    assert_eq!(case.deployment.state.current(), Some(GREEN));
    assert_eq!(case.cycle().deadline, Some(at(160)));
}

#[test]
fn a_new_deployment_starts_its_clock_with_the_first_look() {
    let created = verbs::create(Some(BLUE), 2).deployment;
    assert_eq!(created.coming_up, Some(Stopwatch::default()));
    assert_eq!(verbs::create(None, 2).deployment.coming_up, None);
    let mut case = pending(2, [starting().times(2)]).now(7);
    case.deployment.coming_up = created.coming_up;
    assert_eq!(case.cycle().deadline, Some(at(607)));
}
