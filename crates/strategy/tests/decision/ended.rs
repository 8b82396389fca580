//! How a rollout comes out: what is said of it, by which it can be told why.

use viridian_strategy::{
    IntOrPercent::Count,
    RolloutEnd,
    RolloutOutcome::{Aborted, Promoted, RolledBack, Superseded},
    RolloutStep, Transition, verbs,
};

use crate::case::{
    BLUE, DecisionCase, Degraded, FailedToStart, GREEN, Healthy, NotChecked, OTHER, Provisioning,
    ReplicaSpec, Running, Terminated, Unhealthy, awaiting, blue, deploying, green, other, pending,
    ready,
};

fn serving() -> ReplicaSpec {
    blue(Running, Healthy).times(2)
}

fn up() -> ReplicaSpec {
    green(Running, Healthy).times(2)
}

/// The revision, the outcome, and the number of the route that says why.
fn ended(transition: &Transition) -> Option<(viridian_strategy::RevisionId, &str, Option<u128>)> {
    let RolloutEnd {
        revision,
        outcome,
        is_way_back: _,
        failure,
    } = transition.ended?;
    let failure = failure.map(|id| id.0.as_u128());
    Some((revision, outcome.as_str(), failure))
}

#[test]
fn c2_each_way_out_of_a_rollout_says_what_came_of_it() {
    let failed = green(FailedToStart, NotChecked).times(2);
    let gave_up = |case: DecisionCase| case.evaluate().transition;
    let rows: [(&str, Transition, _); 13] = [
        (
            "promoted by itself",
            gave_up(awaiting(2, [serving(), up()]).auto(0)),
            (GREEN, Promoted, None),
        ),
        (
            "promoted by hand",
            awaiting(2, [serving(), up()])
                .decide(verbs::promote)
                .expect("all are ready"),
            (GREEN, Promoted, None),
        ),
        (
            "all failed",
            gave_up(deploying(2, [serving(), failed])),
            (GREEN, RolledBack, Some(3)),
        ),
        (
            "the deadline passed",
            gave_up(deploying(2, [serving(), green(Running, Unhealthy)]).now(1_000)),
            (GREEN, RolledBack, Some(3)),
        ),
        (
            "aborted",
            deploying(2, [serving(), green(Provisioning, NotChecked)])
                .try_abort()
                .expect("it is under way"),
            (GREEN, Aborted, None),
        ),
        (
            "aborted before a report",
            deploying(2, [serving(), green(Running, NotChecked)])
                .try_abort()
                .expect("it is under way"),
            (GREEN, Aborted, None),
        ),
        (
            "superseded before a report",
            deploying(2, [serving(), green(Running, NotChecked)])
                .try_activate(OTHER, true)
                .expect("it supersedes"),
            (GREEN, Superseded, None),
        ),
        (
            "the deadline passed without a report",
            gave_up(deploying(2, [serving(), green(Running, NotChecked)]).now(1_000)),
            (GREEN, RolledBack, Some(3)),
        ),
        (
            "superseded",
            deploying(2, [serving(), green(Running, Degraded)])
                .try_activate(OTHER, true)
                .expect("it supersedes"),
            (GREEN, Superseded, Some(3)),
        ),
        (
            "deleted",
            deploying(2, [serving(), failed])
                .decide(verbs::delete)
                .expect("it is there"),
            (GREEN, Aborted, Some(3)),
        ),
        (
            "back to what was kept",
            ready(
                2,
                [serving(), other(Running, Healthy).retained(50).times(2)],
            )
            .try_roll_back(OTHER)
            .expect("enough are kept"),
            (OTHER, Promoted, None),
        ),
        (
            "the first revision came up",
            gave_up(pending(2, [serving()])),
            (BLUE, Promoted, None),
        ),
        (
            "a rolling update is through",
            gave_up(deploying(2, [up().active()]).rolling(Count(1), Count(0))),
            (GREEN, Promoted, None),
        ),
    ];
    for (name, transition, (revision, outcome, failure)) in rows {
        let expected = Some((revision, outcome.as_str(), failure));
        assert_eq!(ended(&transition), expected, "{name}");
    }
}

#[test]
fn c2_the_route_that_says_most_speaks_for_the_others() {
    let late = |replica: ReplicaSpec| replica.at(40);
    let early = |replica: ReplicaSpec| replica.at(20);
    let hung = green(Running, Unhealthy);
    let crashed = green(Terminated, Healthy);
    let rows = [
        (
            "a failure before an illness",
            vec![early(hung), late(crashed)],
            Some(2),
        ),
        (
            "the first failure",
            vec![late(crashed), early(crashed)],
            Some(2),
        ),
        (
            "of one moment, the first one",
            vec![late(crashed).times(2)],
            Some(1),
        ),
        (
            "UNHEALTHY before DEGRADED before NOT_CHECKED",
            vec![
                early(green(Running, NotChecked)),
                early(green(Running, Degraded)),
                late(hung),
            ],
            Some(3),
        ),
        (
            "a drained one says nothing",
            vec![crashed.drained(10), green(Provisioning, NotChecked)],
            None,
        ),
        (
            "nor does a failure of an earlier attempt",
            vec![crashed.made_in(1), green(Running, Healthy)],
            None,
        ),
        ("nor blue's", vec![blue(Terminated, Healthy)], None),
    ];
    for (name, routes, expected) in rows {
        let case = deploying(3, routes);
        let aborted = case.try_abort().expect("it is under way");
        let said = ended(&aborted).and_then(|(_, _, failure)| failure);
        assert_eq!(said, expected, "{name}");
    }
}

/// Said at the turn: until it is back, the routes that failed are replaced and forgotten.
#[test]
fn c2_a_rolling_update_says_why_when_it_turns_back() {
    let rolling = |case: DecisionCase| case.rolling(Count(1), Count(0));
    let crashed = green(Terminated, Healthy);
    let turned = rolling(deploying(3, [serving(), crashed]))
        .evaluate()
        .transition;
    assert_eq!(ended(&turned), Some((GREEN, "ROLLED_BACK", Some(3))));
    let step = turned
        .deployment
        .state
        .rollout()
        .map(|rollout| rollout.step);
    assert_eq!(step, Some(RolloutStep::RollingBack));

    let aborted = rolling(deploying(2, [serving(), green(Provisioning, NotChecked)]));
    let aborted = aborted.try_abort().expect("it is under way");
    assert_eq!(ended(&aborted), Some((GREEN, "ABORTED", None)));

    let returned = rolling(deploying(2, [serving()]).rolling_back());
    let returned = returned.evaluate().transition;
    assert_eq!(ended(&returned), Some((GREEN, "ROLLED_BACK", None)));
    let waiting = rolling(deploying(2, [blue(Running, Healthy), up()]).rolling_back());
    assert_eq!(ended(&waiting.evaluate().transition), None);
}

/// A step that ends nothing says nothing, so that what was said before stays.
#[test]
fn c2_nothing_else_ends_a_rollout() {
    let fine = ready(2, [serving()]);
    let steps = [
        deploying(2, [serving(), green(Provisioning, NotChecked)])
            .evaluate()
            .transition,
        awaiting(2, [serving(), up()]).evaluate().transition,
        ready(3, [serving()]).evaluate().transition,
        fine.try_activate(GREEN, false)
            .expect("nothing is under way"),
        fine.decide(verbs::pause).expect("it is not paused"),
        fine.decide(verbs::delete).expect("it is there"),
        verbs::create(Some(BLUE), 2),
    ];
    for transition in steps {
        assert_eq!(transition.ended, None, "{transition:?}");
    }
}
