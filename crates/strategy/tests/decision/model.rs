//! The whole decision, in every state that it can come to: a search, breadth
//! first, from a new deployment. At each state everything happens that may:
//! a cycle (at any time, so the coordinator may be late), a second, every
//! report of every route, every call. [`rules`], [`timing`] and [`rest`] say
//! what each step is judged by; whatever breaks a rule is shown with the
//! shortest way to it. Then the good way on is followed from every state.
//!
//! # What is bounded
//!
//! - A tick is a second, and policies hold 0 to 3 of them. A progress deadline
//!   of 30 days stands for none: it is never reached.
//! - At most `failures` routes that failed count at one time. Failures that no
//!   decision looks at any more make room for others, so that any number can
//!   follow. None grows older than the hour in which it lengthens the back-off.
//! - A TERMINATING route that was drained or evicted, or whose end could count nowhere,
//!   ends at once, but for a deployment that is being deleted: there it may
//!   take its time. Nothing else looks at one, and `drain_grace` is not the
//!   decision's business.
//! - Health is reported of RUNNING routes only. Where a column says "two", a
//!   checked route is HEALTHY or UNHEALTHY; "up", always HEALTHY.
//! - The scheduler ends a route that was not drained by way of TERMINATING only
//!   where it "evicts", any number of times; elsewhere it reports TERMINATED.
//! - A health counts for ever, but in [`trouble`] for two ticks. There it may be confirmed
//!   or end at any time, also by a report of what was seen a tick ago; a route may run before
//!   it is known where, or be started anew in place.
//! - A server that starts again has lost at worst every confirmation of a health: that is the
//!   one thing which it does not keep in the record.
//! - The clock that decides may be set back once or twice, by a tick. One that jumps forward
//!   is a tick in which nothing else happens.
//! - A call of update changes the target or the policy; both are two calls.
//!
//! | configuration | N | revisions | failures | health | calls besides create and activate |
//! |---|---|---|---|---|---|
//! | manual gate | 3 | 3 | 1 | two | supersede, promote, abort, delete |
//! | promote delay | 2 | 2 | 1 | two | pause, resume |
//! | promote delay, no failure | 3 | 2 | 0 | two | pause, resume |
//! | min ready | 2 | 2 | 1 | two | promote, pause, resume |
//! | gate timeouts | 1 | 2 | 1 | two | update of the policy, promote, pause, resume, abort |
//! | replacements | 2 | 2 | 2 | two | |
//! | replacements, unset | 1 to 2 | 2 | 2 | up | update of the target |
//! | first deadline | 2 | 2 | 1 | two | promote, pause, resume, abort |
//! | first deadline, targets | 0, 2 | 2 | 1 | two | update of the target, promote, abort |
//! | ready threshold | 2 | 2 | 1 | two | promote, abort |
//! | retained | 2 | 3 | 1 | two | roll back, supersede, promote |
//! | retained, targets | 0, 2 | 2 | 0 | two | update of the target, roll back, promote |
//! | retained, either strategy | 2 | 2 | 0 | two | update of the policy, roll back, promote |
//! | every target | 0 to 3 | 3 | 0 | up | update of the target, supersede, promote |
//! | every health | 1 | 2 | 1 | all, evicts | all but restart and drain |
//! | rolling 1 / 0 | 3 | 2 | 1 | two | abort, delete |
//! | rolling 0 / 1 | 2 | 3 | 1 | two | supersede, abort, pause, resume |
//! | rolling 25 % / 25 % | 0 to 3 | 2 | 1 | two | update of the target, promote, abort |
//! | rolling 0 / 10 % | 3 | 2 | 1 | two | pause, resume |
//! | canary | 2 | 2 | 1 | up, two | advance, abort |
//! | canary, pauses | 2 | 2 | 0 | two | pause, resume, advance, promote |
//! | canary, a third revision | 2 | 3 | 0 | two | supersede, advance, promote |
//! | canary, targets | 0, 2 | 2 | 0 | up | update of the target, promote, abort |
//! | canary, gate timeouts | 1 | 2 | 0 | two | update of the policy, advance, promote, roll back |
//! | canary, evidence | 2 | 2 | 0 | up | abort |
//! | canary, set-back clocks | 1 | 2 | 0 | up, two | pause, resume |
//! | either strategy | 2 | 2 | 1 | two | update of the policy, promote, abort |
//! | evidence of green, late reports, new sessions | 2 | 2 | 0 | up, two | promote, abort, roll back |
//! | the same of new routes | 2 | 2 | 0 | up, two | abort |
//! | server restarts | 2 | 2 | 0 | up, two | promote, abort, roll back |
//! | no replicas and back | 0, 1 | 2 | 0 | up, two | update of the target, promote, abort, roll back |
//! | set-back clocks | 1 to 2 | 2 | 0 to 1 | two | promote, abort, pause, resume, roll back |
//! | replacing | 2 | 1 | 0 | two, evicts | restart, drain, pause, resume |
//! | replacing beside a rollout | 1 | 2 | 0 | two | restart, drain, abort |
//! | replacing, rolling 0 / 1 | 2 | 2 | 0 | two | restart, drain |
//!
//! [`wide`] holds larger ones, with nearly all calls in each.
//!
//! # Why the canonical form is sound
//!
//! States that no decision, now or later, can tell apart have one form, so that
//! their number is finite ([`canon`], [`collapse`]):
//! - A time matters by its distance from now, up to the longest duration that
//!   it is compared with, and beyond that by its order among the others. All
//!   are compared with now or with each other, never by a difference of two.
//! - What a stopwatch has measured matters up to the longest duration that it
//!   is compared with.
//! - In which activation a route was created matters as far as that is the one of
//!   the current revision or of the rollout; when, against the failures that it may
//!   follow. Among routes that are drained in turn it comes after
//!   status and health, and two that agree in those are alike: unless they are
//!   of several revisions, or it matters since when they are ready (green that
//!   waits, while the target shrinks). There the order is kept.
//! - Since when a green is ready matters once all are, and then only the latest
//!   change of any: while the target stays, any other change will be younger.
//! - Where a health counts only for a while, it matters of which of two routes it is older:
//!   two that agree in status and health are not alike, and whatever may be drained in turn
//!   keeps its place.
//! - Where the clock may still be set back, each age matters for as much longer: it may become
//!   less by that. What nothing is compared with is older than that, or a clock that is set
//!   back would stop at it.
//! - Ids matter by their order, after the time of creation. Revisions have no
//!   order: the current one is the first, the deploying one the second.
//! - What counts nowhere any more is dropped.
//!
//! All this is put to the proof by [`walk`]: random lives that are never
//! brought into that form must stay within the states that were met, and each
//! of their decisions must be the one that their form leads to.

mod canary;
mod canon;
mod clocks;
mod code;
mod collapse;
mod config;
mod evidence;
mod moves;
mod replacing;
mod rest;
mod rules;
mod search;
mod state;
mod timing;
mod trace;
mod trouble;
mod walk;
mod wide;

use std::time::Instant;

use viridian_strategy::{
    GateAction, GateTimeout,
    IntOrPercent::{Count, Percent},
    Policy,
};

use self::{
    config::{
        ALL, CALLS, CallKind, EvidenceTrouble, ModelConfig, TWO, UP, blue_green, canary, rolling,
        step,
    },
    search::StateSearch,
};
use crate::case::secs;

#[test]
fn manual_gate() {
    let verbs = &[
        CallKind::Supersede,
        CallKind::Promote,
        CallKind::Abort,
        CallKind::Delete,
    ];
    holds(&ModelConfig {
        revisions: 3,
        ..config("manual gate", [manual(1)], [3], verbs)
    });
}

#[test]
fn promote_delay() {
    holds(&config(
        "promote delay",
        [delayed(1)],
        [2],
        &[CallKind::Pause],
    ));
}

#[test]
fn promote_delay_without_a_failure() {
    holds(&ModelConfig {
        failures: 0,
        ..config(
            "promote delay, no failure",
            [delayed(1)],
            [3],
            &[CallKind::Pause],
        )
    });
}

#[test]
fn min_ready() {
    let verbs = &[CallKind::Promote, CallKind::Pause];
    holds(&config("min ready", [steady(1)], [2], verbs));
}

#[test]
fn gate_timeouts() {
    let verbs = &[CallKind::Promote, CallKind::Pause, CallKind::Abort];
    holds(&config("gate timeouts", gates(1), [1], verbs));
}

#[test]
fn replacements() {
    holds(&ModelConfig {
        failures: 2,
        ..config("replacements", [replaced(1, Some(1))], [2], &[])
    });
}

#[test]
fn replacements_as_many_as_the_target() {
    holds(&ModelConfig {
        failures: 2,
        health: [UP, UP],
        ..config("replacements, unset", [replaced(1, None)], [2, 1], &[])
    });
}

#[test]
fn first_deadline() {
    let policy = || {
        blue_green(|policy, _| {
            policy.progress_deadline = secs(1);
            policy.first_deadline = Some(secs(2));
        })
    };
    let verbs = &[CallKind::Promote, CallKind::Pause, CallKind::Abort];
    holds(&config("first deadline", [policy()], [2], verbs));
    let (targets, verbs) = ([2, 0], &[CallKind::Promote, CallKind::Abort]);
    holds(&config(
        "first deadline, targets",
        [policy()],
        targets,
        verbs,
    ));
}

#[test]
fn ready_threshold() {
    let policy = blue_green(|policy, spec| {
        policy.progress_deadline = secs(1);
        spec.auto_promote = true;
        spec.promote_delay = secs(1);
        spec.ready_threshold = Some(Count(1));
    });
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&config("ready threshold", [policy], [2], verbs));
}

#[test]
fn retained() {
    let verbs = &[CallKind::RollBack, CallKind::Supersede, CallKind::Promote];
    holds(&ModelConfig {
        revisions: 3,
        ..config("retained", [retaining(1)], [2], verbs)
    });
}

#[test]
fn retained_at_every_target() {
    let verbs = &[CallKind::RollBack, CallKind::Promote];
    holds(&ModelConfig {
        failures: 0,
        ..config("retained, targets", [retaining(1)], [2, 0], verbs)
    });
}

/// What blue-green retained may be there when the way back is a rolling one.
#[test]
fn retained_with_either_strategy() {
    let policies = [retaining(1), rolling(Count(1), Count(0), 1)];
    let verbs = &[CallKind::RollBack, CallKind::Promote];
    holds(&ModelConfig {
        failures: 0,
        ..config("retained, either strategy", policies, [2], verbs)
    });
}

#[test]
fn every_target() {
    let policy = blue_green(|_, _| {});
    let verbs = &[CallKind::Supersede, CallKind::Promote];
    holds(&ModelConfig {
        revisions: 3,
        failures: 0,
        health: [UP, UP],
        ..config("every target", [policy], [3, 2, 1, 0], verbs)
    });
}

#[test]
fn every_health() {
    holds(&ModelConfig {
        evicts: true,
        health: [ALL, ALL],
        ..config("every health", [manual(2)], [1], CALLS)
    });
}

#[test]
fn rolling_with_a_surge() {
    let policy = rolling(Count(1), Count(0), 1);
    let verbs = &[CallKind::Abort, CallKind::Delete];
    holds(&config("rolling 1 / 0", [policy], [3], verbs));
}

#[test]
fn rolling_without_a_surge() {
    let policy = rolling(Count(0), Count(1), 1);
    let verbs = &[CallKind::Supersede, CallKind::Abort, CallKind::Pause];
    holds(&ModelConfig {
        revisions: 3,
        ..config("rolling 0 / 1", [policy], [2], verbs)
    });
}

#[test]
fn rolling_by_percent() {
    let policy = rolling(Percent(25), Percent(25), 1);
    let targets = [3, 2, 1, 0];
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&config("rolling 25 % / 25 %", [policy], targets, verbs));
}

#[test]
fn rolling_without_room() {
    let policy = rolling(Count(0), Percent(10), 1);
    holds(&config(
        "rolling 0 / 10 %",
        [policy],
        [3],
        &[CallKind::Pause],
    ));
}

#[test]
fn canary_with_a_hold_and_a_person() {
    let steps = [step(500, 1, false), step(900, 0, true)];
    let policy = canary(&steps, |policy, spec| {
        policy.progress_deadline = secs(1);
        spec.auto_promote = true;
    });
    let verbs = &[CallKind::Advance, CallKind::Abort];
    holds(&ModelConfig {
        health: [UP, TWO],
        ..config("canary", [policy], [2], verbs)
    });
}

#[test]
fn canary_in_pauses() {
    let policy = canary(&[step(500, 1, false)], |_, _| {});
    let verbs = &[CallKind::Pause, CallKind::Promote, CallKind::Advance];
    holds(&ModelConfig {
        failures: 0,
        ..config("canary, pauses", [policy], [2], verbs)
    });
}

#[test]
fn canary_over_a_third() {
    let policy = canary(&[step(0, 0, false), step(500, 0, true)], |_, spec| {
        spec.min_ready = secs(1);
    });
    let verbs = &[CallKind::Supersede, CallKind::Advance, CallKind::Promote];
    holds(&ModelConfig {
        revisions: 3,
        failures: 0,
        ..config("canary, a third revision", [policy], [2], verbs)
    });
}

#[test]
fn canary_at_every_target() {
    let policy = canary(&[step(400, 1, false), step(700, 0, false)], |_, _| {});
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&ModelConfig {
        failures: 0,
        health: [UP, UP],
        ..config("canary, targets", [policy], [2, 0], verbs)
    });
}

#[test]
fn canary_with_gate_timeouts() {
    let policies = [(2, GateAction::Rollback), (1, GateAction::Promote)].map(|(ticks, action)| {
        canary(&[step(500, 1, true)], |_, spec| {
            let duration = secs(ticks);
            spec.gate_timeout = Some(GateTimeout { duration, action });
        })
    });
    let verbs = &[CallKind::Advance, CallKind::RollBack, CallKind::Promote];
    holds(&ModelConfig {
        failures: 0,
        ..config("canary, gate timeouts", policies, [1], verbs)
    });
}

/// The steps change on the way, to more of them that ask for less.
#[test]
fn canary_with_other_steps() {
    let policies = [
        vec![step(500, 1, false)],
        vec![step(100, 0, true), step(400, 0, false)],
    ];
    let policies = policies.map(|steps| canary(&steps, |_, spec| spec.auto_promote = true));
    holds(&ModelConfig {
        failures: 0,
        health: [UP, UP],
        ..config("canary, other steps", policies, [2], &[CallKind::Advance])
    });
}

#[test]
fn canary_on_evidence() {
    let policy = canary(&[step(500, 1, false)], |_, spec| spec.auto_promote = true);
    holds(&ModelConfig {
        failures: 0,
        ttl: Some(2),
        troubles: &[
            EvidenceTrouble::ServerRestarts,
            EvidenceTrouble::Silence,
            EvidenceTrouble::NewSessions,
        ],
        health: [UP, UP],
        ..config("canary, evidence", [policy], [2], &[CallKind::Abort])
    });
}

#[test]
fn canary_with_set_back_clocks() {
    let policy = canary(&[step(500, 2, false)], |_, spec| spec.auto_promote = true);
    holds(&ModelConfig {
        failures: 0,
        set_backs: 1,
        health: [UP, TWO],
        ..config("canary, set-back clocks", [policy], [1], &[CallKind::Pause])
    });
}

#[test]
fn either_strategy() {
    let policies = [rolling(Count(1), Count(0), 1), manual(1)];
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&config("either strategy", policies, [2], verbs));
}

/// Searches a configuration, and says what was found.
#[expect(
    clippy::print_stdout,
    reason = "the figures are what a reader wants to see"
)]
fn holds(config: &ModelConfig) {
    let start = Instant::now();
    let search = StateSearch::run(config);
    search.ends_well();
    let compared = walk::walk(&search, 100);
    println!(
        "{}: {} states, {} transitions, no violation, no dead end; \
         {compared} decisions as in the canonical form; {:.1} s",
        config.name,
        search.states(),
        search.transitions,
        start.elapsed().as_secs_f64(),
    );
}

/// Two revisions, one failure, two healths.
fn config<const POLICIES: usize, const TARGETS: usize>(
    name: &'static str,
    policies: [Policy; POLICIES],
    targets: [u32; TARGETS],
    verbs: &'static [CallKind],
) -> ModelConfig {
    ModelConfig {
        name,
        policies: policies.into(),
        targets: targets.into(),
        revisions: 2,
        failures: 1,
        evicts: false,
        health: [TWO, TWO],
        ttl: None,
        troubles: &[],
        set_backs: 0,
        verbs,
    }
}

fn manual(deadline: u64) -> Policy {
    blue_green(|policy, _| policy.progress_deadline = secs(deadline))
}

/// Promotes by itself, and keeps what served for a tick.
fn prompt() -> Policy {
    blue_green(|_, spec| {
        spec.auto_promote = true;
        spec.scale_down_delay = secs(1);
    })
}

/// Promotes by itself, two ticks after the latest change.
fn delayed(deadline: u64) -> Policy {
    blue_green(|policy, spec| {
        policy.progress_deadline = secs(deadline);
        spec.auto_promote = true;
        spec.promote_delay = secs(2);
    })
}

fn steady(deadline: u64) -> Policy {
    blue_green(|policy, spec| {
        policy.progress_deadline = secs(deadline);
        spec.min_ready = secs(1);
    })
}

/// A gate with each of the actions.
fn gates(deadline: u64) -> [Policy; 3] {
    [
        (2, GateAction::Rollback),
        (2, GateAction::Hold),
        (1, GateAction::Promote),
    ]
    .map(|(ticks, action)| {
        blue_green(|policy, spec| {
            let duration = secs(ticks);
            policy.progress_deadline = secs(deadline);
            spec.gate_timeout = Some(GateTimeout { duration, action });
        })
    })
}

fn replaced(deadline: u64, max_replacements: Option<u32>) -> Policy {
    blue_green(|policy, spec| {
        policy.progress_deadline = secs(deadline);
        spec.auto_promote = true;
        spec.max_replacements = max_replacements;
    })
}

fn retaining(ticks: u64) -> Policy {
    blue_green(|policy, spec| {
        policy.progress_deadline = secs(1);
        spec.scale_down_delay = secs(ticks);
    })
}
