//! What evidence and clocks go through: reports that come late or not at all, sessions that begin
//! anew, servers that start again, replicas that go to zero and back meanwhile, and clocks that
//! are set back. In most a health counts for two ticks.

use viridian_strategy::{IntOrPercent::Count, MAX_DURATION};

use super::{
    CallKind, ModelConfig, blue_green, config, delayed, gates, holds, prompt, retaining, rolling,
    steady,
};
use crate::{
    case::secs,
    model::config::{CALLS, EvidenceTrouble, TROUBLES, TWO, UP},
};

#[test]
fn evidence_of_green() {
    let verbs = &[CallKind::Promote, CallKind::RollBack];
    let troubles = &[EvidenceTrouble::Unaddressed, EvidenceTrouble::Silence];
    holds(&troubled(
        "evidence of green",
        [prompt()],
        [2],
        verbs,
        troubles,
    ));
}

#[test]
fn evidence_of_new_routes() {
    let troubles = &[EvidenceTrouble::Unaddressed, EvidenceTrouble::Silence];
    let verbs = &[CallKind::Abort];
    holds(&troubled(
        "evidence of new routes",
        [one_more()],
        [2],
        verbs,
        troubles,
    ));
}

#[test]
fn late_reports_of_green() {
    let troubles = &[EvidenceTrouble::LateReports];
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&troubled(
        "late reports of green",
        [prompt()],
        [2],
        verbs,
        troubles,
    ));
}

#[test]
fn late_reports_of_new_routes() {
    let troubles = &[EvidenceTrouble::LateReports];
    let verbs = &[CallKind::Abort];
    holds(&troubled(
        "late reports of new routes",
        [one_more()],
        [2],
        verbs,
        troubles,
    ));
}

/// A kept route, too, may have begun anew by the time of the way back.
#[test]
fn new_sessions_of_green() {
    let troubles = &[EvidenceTrouble::NewSessions];
    let verbs = &[CallKind::RollBack];
    holds(&troubled(
        "new sessions of green",
        [prompt()],
        [2],
        verbs,
        troubles,
    ));
}

#[test]
fn new_sessions_of_new_routes() {
    let troubles = &[EvidenceTrouble::NewSessions];
    let verbs = &[CallKind::Abort];
    holds(&troubled(
        "new sessions of new routes",
        [one_more()],
        [2],
        verbs,
        troubles,
    ));
}

/// With a deadline and a gate, which must not be lost for reports that are missing.
#[test]
fn server_restarts() {
    let policy = blue_green(|policy, spec| {
        policy.progress_deadline = secs(1);
        spec.scale_down_delay = secs(1);
    });
    let troubles = &[EvidenceTrouble::ServerRestarts];
    let verbs = &[CallKind::Promote, CallKind::RollBack];
    holds(&troubled("server restarts", [policy], [2], verbs, troubles));
}

/// A gate that opens by itself is not left, either.
#[test]
fn server_restarts_at_a_delay() {
    let troubles = &[EvidenceTrouble::ServerRestarts];
    let verbs = &[CallKind::Promote];
    holds(&troubled(
        "server restarts, promote delay",
        [delayed(1)],
        [1],
        verbs,
        troubles,
    ));
}

#[test]
fn server_restarts_in_a_rolling_update() {
    let policy = rolling(Count(1), Count(0), 1);
    let troubles = &[EvidenceTrouble::ServerRestarts, EvidenceTrouble::Silence];
    let verbs = &[CallKind::Abort];
    holds(&troubled(
        "server restarts, rolling",
        [policy],
        [2],
        verbs,
        troubles,
    ));
}

/// The number of replicas goes to zero and back while reports are missing.
#[test]
fn no_replicas_and_back() {
    let troubles = &[EvidenceTrouble::ServerRestarts, EvidenceTrouble::Silence];
    let verbs = &[CallKind::Promote, CallKind::RollBack];
    holds(&troubled(
        "no replicas and back",
        [prompt()],
        [1, 0],
        verbs,
        troubles,
    ));
    let verbs = &[CallKind::Promote, CallKind::Abort];
    holds(&troubled(
        "no replicas and back, rolling",
        [one_more()],
        [1, 0],
        verbs,
        troubles,
    ));
}

#[test]
fn set_back_clocks_at_gates() {
    let verbs = &[CallKind::Promote, CallKind::Pause];
    holds(&ModelConfig {
        set_backs: 1,
        failures: 0,
        ..config("set-back clocks, gates", gates(1), [1], verbs)
    });
}

#[test]
fn set_back_clocks_of_waits() {
    for (name, policy) in [
        ("set-back clocks, promote delay", delayed(1)),
        ("set-back clocks, min ready", steady(1)),
    ] {
        let verbs = &[CallKind::Promote, CallKind::Pause];
        holds(&ModelConfig {
            set_backs: 1,
            ..config(name, [policy], [1], verbs)
        });
    }
}

#[test]
fn set_back_clocks_of_a_first_revision() {
    let policy = blue_green(|policy, _| policy.first_deadline = Some(secs(2)));
    holds(&ModelConfig {
        set_backs: 2,
        ..config(
            "set-back clocks, first deadline",
            [policy],
            [1],
            &[CallKind::Promote, CallKind::Pause],
        )
    });
}

/// With a health TTL, and routes that are kept for a tick.
#[test]
fn set_back_clocks_and_evidence() {
    let verbs = &[CallKind::Promote, CallKind::RollBack];
    let troubles = &[EvidenceTrouble::Silence, EvidenceTrouble::LateReports];
    holds(&ModelConfig {
        set_backs: 1,
        ..troubled(
            "set-back clocks, evidence",
            [prompt()],
            [1],
            verbs,
            troubles,
        )
    });
}

#[test]
fn set_back_clocks_of_a_rolling_update() {
    let policy = rolling(Count(1), Count(0), 1);
    holds(&ModelConfig {
        set_backs: 1,
        ..config(
            "set-back clocks, rolling",
            [policy],
            [2],
            &[CallKind::Abort],
        )
    });
}

/// Minutes, as [`super::wide`].
#[test]
#[ignore = "large"]
fn every_trouble_of_green() {
    let policy = blue_green(|policy, spec| {
        policy.progress_deadline = secs(1);
        spec.auto_promote = true;
        spec.scale_down_delay = secs(1);
    });
    holds(&ModelConfig {
        set_backs: 1,
        ..troubled("every trouble of green", [policy], [2], CALLS, TROUBLES)
    });
}

#[test]
#[ignore = "large"]
fn every_trouble_of_new_routes() {
    let policy = rolling(Count(1), Count(0), 1);
    let verbs = &[CallKind::RollBack, CallKind::Abort, CallKind::Pause];
    holds(&ModelConfig {
        set_backs: 1,
        ..troubled(
            "every trouble of new routes",
            [policy],
            [2, 0],
            verbs,
            TROUBLES,
        )
    });
}

/// Keeps what served for two ticks, so that a way back finds kept routes of every age.
#[test]
#[ignore = "large"]
fn every_trouble_of_kept_routes() {
    let verbs = &[CallKind::RollBack, CallKind::Promote];
    holds(&ModelConfig {
        set_backs: 1,
        ..troubled(
            "every trouble of kept routes",
            [retaining(2)],
            [2, 1, 0],
            verbs,
            TROUBLES,
        )
    });
}

/// No failure; what serves is well, or nobody says so.
fn troubled<const POLICIES: usize, const TARGETS: usize>(
    name: &'static str,
    policies: [viridian_strategy::Policy; POLICIES],
    targets: [u32; TARGETS],
    verbs: &'static [CallKind],
    troubles: &'static [EvidenceTrouble],
) -> ModelConfig {
    ModelConfig {
        ttl: Some(2),
        failures: 0,
        health: [UP, TWO],
        troubles,
        ..config(name, policies, targets, verbs)
    }
}

fn one_more() -> viridian_strategy::Policy {
    rolling(Count(1), Count(0), MAX_DURATION.as_secs())
}
