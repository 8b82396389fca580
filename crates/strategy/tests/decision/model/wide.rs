//! Larger spaces, for when the decision changes. Minutes each:
//!
//! ```text
//! cargo test -p viridian-strategy --test decision model -- --ignored --nocapture
//! ```

use super::{
    CallKind, Count, ModelConfig, Percent, blue_green, config, delayed, gates, holds, manual,
    replaced, retaining, rolling, steady,
};
use crate::model::config::{ALL, CALLS, TWO, UP, canary, step};

const FEW: &[CallKind] = &[CallKind::Promote, CallKind::Pause, CallKind::Delete];

#[test]
#[ignore = "large"]
fn manual_gate_with_every_call() {
    holds(&ModelConfig {
        revisions: 3,
        ..config("manual gate, every call", [manual(2)], [3], CALLS)
    });
}

#[test]
#[ignore = "large"]
fn every_health_of_green() {
    holds(&ModelConfig {
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
    holds(&ModelConfig {
        failures: 2,
        ..config(
            "replacements, calls",
            [replaced(2, Some(1))],
            [2],
            &[CallKind::Promote],
        )
    });
}

#[test]
#[ignore = "large"]
fn retained_three() {
    let verbs = &[CallKind::RollBack, CallKind::Promote];
    holds(&config("retained three", [retaining(2)], [3], verbs));
}

#[test]
#[ignore = "large"]
fn targets_while_it_waits() {
    let verbs = &[CallKind::Promote];
    holds(&ModelConfig {
        failures: 0,
        ..config("targets while it waits", [manual(1)], [2, 1, 0], verbs)
    });
}

#[test]
#[ignore = "large"]
fn every_target_in_trouble() {
    let verbs = &[CallKind::Promote];
    let policy = blue_green(|_, _| {});
    holds(&ModelConfig {
        failures: 0,
        ..config("every target, in trouble", [policy], [3, 2, 1, 0], verbs)
    });
}

#[test]
#[ignore = "large"]
fn canary_at_every_target() {
    let policy = canary(&[step(400, 1, false), step(700, 0, false)], |_, _| {});
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&ModelConfig {
        failures: 0,
        health: [UP, UP],
        ..config("canary, every target", [policy], [3, 2, 0], verbs)
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
    holds(&ModelConfig {
        evicts: true,
        ..config("rolling 0 / 1, every call", [policy], [3], CALLS)
    });
}

#[test]
#[ignore = "large"]
fn rolling_over_a_third() {
    let policy = rolling(Count(1), Count(1), 1);
    let verbs = &[CallKind::Supersede, CallKind::Abort];
    holds(&ModelConfig {
        revisions: 3,
        ..config("rolling 1 / 1 over a third", [policy], [2], verbs)
    });
}

#[test]
#[ignore = "large"]
fn rolling_with_failures() {
    let policy = rolling(Count(0), Percent(10), 2);
    holds(&ModelConfig {
        failures: 2,
        health: [ALL, ALL],
        ..config("rolling with failures", [policy], [2], &[CallKind::Abort])
    });
}
