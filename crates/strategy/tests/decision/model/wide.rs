//! Larger spaces, for when the decision changes. Minutes each:
//!
//! ```text
//! cargo test -p viridian-strategy --test decision model -- --ignored --nocapture
//! ```

use super::{
    Config, Count, Percent, Verb, blue_green, config, delayed, gates, holds, manual, replaced,
    retaining, rolling, steady,
};
use crate::model::config::{ALL, CALLS, TWO};

const FEW: &[Verb] = &[Verb::Promote, Verb::Pause, Verb::Delete];

#[test]
#[ignore = "large"]
fn manual_gate_with_every_call() {
    holds(&Config {
        revisions: 3,
        ..config("manual gate, every call", [manual(2)], [3], CALLS)
    });
}

#[test]
#[ignore = "large"]
fn every_health_of_green() {
    holds(&Config {
        revisions: 3,
        evicts: true,
        health: [TWO, ALL],
        ..config("every health of green", [manual(2)], [2], CALLS)
    });
}

#[test]
#[ignore = "large"]
fn promote_delay_with_every_call() {
    holds(&config(
        "promote delay, every call",
        [delayed(3)],
        [2],
        CALLS,
    ));
}

#[test]
#[ignore = "large"]
fn promote_delay_of_three() {
    holds(&config("promote delay of three", [delayed(3)], [3], FEW));
}

#[test]
#[ignore = "large"]
fn min_ready_with_every_call() {
    holds(&config("min ready, every call", [steady(2)], [2], CALLS));
}

#[test]
#[ignore = "large"]
fn gate_timeouts_with_every_call() {
    holds(&config("gate timeouts, every call", gates(2), [1], CALLS));
}

#[test]
#[ignore = "large"]
fn replacements_with_calls() {
    holds(&Config {
        failures: 2,
        ..config("replacements, calls", [replaced(2)], [2], &[Verb::Promote])
    });
}

#[test]
#[ignore = "large"]
fn retained_three() {
    let verbs = &[Verb::RollBack, Verb::Promote];
    holds(&config("retained three", [retaining(2)], [3], verbs));
}

#[test]
#[ignore = "large"]
fn targets_while_it_waits() {
    let verbs = &[Verb::Promote];
    holds(&Config {
        failures: 0,
        ..config("targets while it waits", [manual(1)], [2, 1, 0], verbs)
    });
}

#[test]
#[ignore = "large"]
fn every_target_in_trouble() {
    let verbs = &[Verb::Promote];
    let policy = blue_green(|_, _| {});
    holds(&Config {
        failures: 0,
        ..config("every target, in trouble", [policy], [3, 2, 1, 0], verbs)
    });
}

#[test]
#[ignore = "large"]
fn rolling_with_a_surge_and_every_call() {
    let policy = rolling(Count(1), Count(0), 2);
    holds(&config("rolling 1 / 0, every call", [policy], [3], CALLS));
}

#[test]
#[ignore = "large"]
fn rolling_without_a_surge_and_every_call() {
    let policy = rolling(Count(0), Count(1), 2);
    holds(&Config {
        evicts: true,
        ..config("rolling 0 / 1, every call", [policy], [3], CALLS)
    });
}

#[test]
#[ignore = "large"]
fn rolling_over_a_third() {
    let policy = rolling(Count(1), Count(1), 1);
    let verbs = &[Verb::Supersede, Verb::Abort];
    holds(&Config {
        revisions: 3,
        ..config("rolling 1 / 1 over a third", [policy], [2], verbs)
    });
}

#[test]
#[ignore = "large"]
fn rolling_with_failures() {
    let policy = rolling(Count(0), Percent(10), 2);
    holds(&Config {
        failures: 2,
        health: [ALL, ALL],
        ..config("rolling with failures", [policy], [2], &[Verb::Abort])
    });
}
