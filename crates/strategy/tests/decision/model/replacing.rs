//! Routes of the current revision that are replaced: by a restart, and by a drain of one.

use viridian_strategy::IntOrPercent::Count;

use super::{CallKind, ModelConfig, config, holds, manual, replaced, rolling};

/// Evictions, restarts, drains by hand and pauses, and health that comes and goes.
#[test]
fn replacing() {
    let verbs = &[CallKind::Restart, CallKind::Drain, CallKind::Pause];
    holds(&ModelConfig {
        evicts: true,
        failures: 0,
        revisions: 1,
        ..config("replacing", [manual(1)], [2], verbs)
    });
}

#[test]
fn replacing_beside_a_rollout() {
    let verbs = &[CallKind::Restart, CallKind::Drain, CallKind::Abort];
    holds(&ModelConfig {
        failures: 0,
        ..config(
            "replacing beside a rollout",
            [replaced(1, None)],
            [1],
            verbs,
        )
    });
}

#[test]
fn replacing_by_rolling() {
    let verbs = &[CallKind::Restart, CallKind::Drain];
    let policy = rolling(Count(0), Count(1), 1);
    holds(&ModelConfig {
        failures: 0,
        ..config("replacing, rolling 0 / 1", [policy], [2], verbs)
    });
}
