//! The canary: its steps, their clocks, its shares, and what ends it. Ten blue routes are
//! numbered 1 to 10, green from 11.

use viridian_strategy::{
    BlueGreen, Canary, CanaryProgress, CanaryStep, GateAction, GateTimeout, IntOrPercent, Policy,
    PolicyError, RolloutStep, SteadyPeriod, Stopwatch, Strategy, TrafficShares, TrafficSplit,
    verbs,
};

use crate::case::{
    BLUE, DecisionCase, Degraded, GREEN, Healthy, NotChecked, OTHER, Provisioning, ReplicaSpec,
    Running, Terminated, Unhealthy, at, blue, deploying, green, line, secs, table,
};

/// A step that goes on by itself.
fn step(weight_permille: u16, hold: u64) -> CanaryStep {
    CanaryStep {
        weight_permille,
        hold: secs(hold),
        manual: false,
        replicas: None,
    }
}

fn manual(weight_permille: u16, hold: u64) -> CanaryStep {
    CanaryStep {
        manual: true,
        ..step(weight_permille, hold)
    }
}

/// 10 %, 40 % by hand, then all.
fn steps() -> [CanaryStep; 2] {
    [step(100, 50), manual(400, 50)]
}

fn blues(target: usize) -> impl Iterator<Item = ReplicaSpec> {
    std::iter::once(blue(Running, Healthy).times(target))
}

/// Ten blue, and so many green that are ready, without traffic.
fn coming_up(green_ready: usize) -> DecisionCase {
    let greens = green(Running, Healthy).times(green_ready);
    deploying(10, blues(10).chain([greens])).canary(steps())
}

/// Ten blue, and green with the share of a step since 60.
fn held(number: u32, weight: u16, green_ready: usize) -> DecisionCase {
    let greens = green(Running, Healthy).active().times(green_ready);
    let case = deploying(10, blues(10).chain([greens])).canary(steps());
    case.rollout(|rollout| {
        rollout.step = RolloutStep::Shifting { gate: None };
        rollout.progress = Stopwatch::default();
        rollout.steady = Some(SteadyPeriod {
            settled_at: at(0),
            watch: Stopwatch::started(at(0)),
        });
        rollout.canary = CanaryProgress {
            step: number,
            towards: number,
            weight: Some(weight),
            scaled_for: u32::try_from(green_ready).expect("few"),
            shared_at: Some(at(60)),
            hold: Some(Stopwatch::started(at(60))),
            advanced: false,
        };
    })
}

/// A canary with these steps and the default switch.
fn with_steps(steps: impl IntoIterator<Item = CanaryStep>) -> Strategy {
    deploying(1, []).canary(steps).policy.strategy
}

/// The same with other settings of the switch.
fn switch(mut case: DecisionCase, change: impl FnOnce(&mut BlueGreen)) -> DecisionCase {
    let Strategy::Canary(spec) = &mut case.policy.strategy else {
        panic!("not a canary");
    };
    change(&mut spec.switch);
    case
}

fn canary_of(case: &DecisionCase) -> CanaryProgress {
    case.deployment.state.rollout().expect("DEPLOYING").canary
}

/// Looks until nothing changes, and says what each look did.
fn looks(case: &mut DecisionCase) -> Vec<String> {
    let mut said = Vec::new();
    loop {
        let transition = case.evaluate().transition;
        if transition.deployment == case.deployment && transition.actions.is_empty() {
            return said;
        }
        said.push(line(&transition));
        case.apply(&transition);
        assert!(said.len() < 20, "never comes to rest: {said:?}");
    }
}

/// All green run and are healthy from now on.
fn start_green(case: &mut DecisionCase) {
    let starting = |id: &usize| {
        let route = &case.routes[id - 1];
        route.revision == GREEN && route.status == Provisioning
    };
    let ids: Vec<usize> = (1..=case.routes.len()).filter(starting).collect();
    case.report_all(ids, Running, Healthy);
}

fn green_live(case: &DecisionCase) -> usize {
    let green = case.routes.iter().filter(|it| it.revision == GREEN);
    green.filter(|it| it.is_live()).count()
}

fn shares(case: &DecisionCase) -> TrafficShares {
    TrafficSplit::of(&case.deployment.state).shares(&case.routes)
}

/// The weights of blue and green.
fn weights(case: &DecisionCase) -> Vec<u16> {
    let weights = shares(case).weights;
    let revisions: Vec<_> = weights.iter().map(|it| it.revision).collect();
    assert!(revisions.is_empty() || revisions == [BLUE, GREEN]);
    weights.iter().map(|it| it.permille).collect()
}

#[test]
fn green_grows_by_steps_and_blue_stays() {
    table([
        (
            "the first step needs one of ten",
            coming_up(0),
            "PROVISIONING, create 1 green INACTIVE, wake 600",
        ),
        (
            "its green is ready: it takes its share",
            coming_up(1),
            "SHIFTING by shift, promote 11, wake 100",
        ),
        (
            "the share is held",
            held(1, 100, 1).now(109),
            "SHIFTING, wake 110",
        ),
        (
            "three more for the next one, with traffic from the start",
            held(1, 100, 1).now(110),
            "PROVISIONING, create 3 green ACTIVE, wake 710",
        ),
        (
            "all of its green are ready: one row changes",
            held(1, 100, 4).now(110).rollout(|rollout| {
                rollout.step = RolloutStep::Provisioning;
                rollout.canary.towards = 2;
            }),
            "SHIFTING by shift, wake 110",
        ),
        (
            "someone has to advance",
            held(2, 400, 4).now(500),
            "SHIFTING",
        ),
        (
            "blue is healed meanwhile",
            {
                let mut case = held(2, 400, 4).now(90);
                case.report(1, Terminated, Healthy);
                case
            },
            "SHIFTING, create 1 blue ACTIVE, wake 110",
        ),
    ]);
}

#[test]
fn steps_are_passed_one_by_one_to_the_promotion() {
    let mut case = switch(coming_up(0), |switch| switch.auto_promote = true);
    assert_eq!(looks(&mut case), ["PROVISIONING, create 1 green INACTIVE"]);
    start_green(&mut case);
    let risen = ["SHIFTING by shift, promote 11"];
    assert_eq!(looks(&mut case), risen);
    assert_eq!(canary_of(&case).step, 1);
    assert_eq!(weights(&case), [900, 100]);
    case.now = at(150);
    assert_eq!(looks(&mut case), ["PROVISIONING, create 3 green ACTIVE"]);
    assert_eq!(
        canary_of(&case).step,
        1,
        "the share of the first step goes on"
    );
    assert_eq!(weights(&case), [900, 100]);
    case.now = at(160);
    start_green(&mut case);
    assert_eq!(looks(&mut case), ["SHIFTING by shift"]);
    assert_eq!(weights(&case), [600, 400]);
    case.now = at(1_000);
    assert_eq!(looks(&mut case), ["SHIFTING"], "it waits for someone");
    let advanced = case.decide(|observed| verbs::advance(observed, false));
    case.apply(&advanced.expect("it is held"));
    assert_eq!(looks(&mut case), ["PROVISIONING, create 6 green ACTIVE"]);
    assert_eq!(weights(&case), [600, 400]);
    start_green(&mut case);
    let promoted = "READY green by promotion, drain 1 2 3 4 5 6 7 8 9 10";
    assert_eq!(looks(&mut case), [promoted]);
    assert!(weights(&case).is_empty(), "all routes are alike again");
}

#[test]
fn the_hold_counts_while_all_green_of_the_step_are_ready() {
    let mut case = held(1, 100, 1).now(100);
    case.report(11, Running, Unhealthy);
    assert_eq!(looks(&mut case), ["PROVISIONING"]);
    assert_eq!(canary_of(&case).weight, Some(100), "the asked share stays");
    assert_eq!(weights(&case), [1_000, 0], "the effective one follows");
    case.now = at(200);
    case.report(11, Running, Healthy);
    assert_eq!(case.says(), "SHIFTING, wake 250", "a flap starts it over");
    assert_eq!(weights(&case), [900, 100]);
    // Also one between two looks.
    let mut case = held(1, 100, 1).now(80);
    case.report(11, Running, Unhealthy);
    case.now = at(90);
    case.report(11, Running, Healthy);
    assert_eq!(case.says(), "SHIFTING, wake 140");
    // A pause stops it.
    let mut case = held(1, 100, 1).now(70);
    let paused = case.decide(verbs::pause).expect("it runs");
    case.apply(&paused);
    case.now = at(500);
    assert!(looks(&mut case).is_empty());
    let resumed = case.decide(verbs::resume).expect("it is paused");
    case.apply(&resumed);
    assert_eq!(case.says(), "SHIFTING, wake 540");
}

#[test]
fn an_advance_ends_the_hold_of_one_step_and_survives_a_flap() {
    let mut case = held(1, 100, 1).now(70);
    let advanced = case.decide(|observed| verbs::advance(observed, false));
    case.apply(&advanced.expect("it is held"));
    case.report(11, Running, Unhealthy);
    assert_eq!(looks(&mut case), ["PROVISIONING"]);
    case.report(11, Running, Healthy);
    assert_eq!(looks(&mut case), ["PROVISIONING, create 3 green ACTIVE"]);
    start_green(&mut case);
    looks(&mut case);
    assert_eq!(case.says(), "SHIFTING, wake 120", "the next step is held");
    let advance = |case: &DecisionCase| {
        let advanced = case.decide(|observed| verbs::advance(observed, false));
        advanced.map(|transition| line(&transition))
    };
    let refused = |case: DecisionCase| advance(&case).expect_err("it is refused");
    use verbs::AdvanceRejection as Rejection;
    assert_eq!(refused(coming_up(0)), Rejection::NotHolding);
    assert_eq!(refused(held(1, 100, 1).paused()), Rejection::Paused);
    assert_eq!(
        refused(held(1, 100, 1).rolling_back()),
        Rejection::RollingBack
    );
    assert_eq!(refused(deploying(1, [])), Rejection::NotCanary);
    let serves = crate::case::ready(10, blues(10)).canary(steps());
    let lifecycle = serves.deployment.state.lifecycle();
    assert_eq!(refused(serves), Rejection::NotDeploying(lifecycle));
}

#[test]
fn an_advance_to_the_last_step_keeps_what_that_asks_for() {
    let three = [step(10, 50), step(20, 50), manual(600, 50)];
    let mut case = held(1, 10, 1).now(70);
    case.policy.strategy = with_steps(three);
    let advanced = case.decide(|observed| verbs::advance(observed, true));
    case.apply(&advanced.expect("it is held"));
    assert_eq!(looks(&mut case), ["PROVISIONING, create 5 green ACTIVE"]);
    assert_eq!(weights(&case), [990, 10]);
    start_green(&mut case);
    assert_eq!(looks(&mut case), ["SHIFTING by shift"]);
    assert_eq!(
        (canary_of(&case).step, canary_of(&case).weight),
        (3, Some(600))
    );
    assert_eq!(case.says(), "SHIFTING, wake 120");
    assert_eq!(
        case.now(500).blockers(),
        ["step 3 of 3: 60 % to green; waiting for someone to advance"]
    );
}

#[test]
fn the_gate_timeout_counts_at_a_step_that_waits_for_someone() {
    let with = |action| {
        switch(held(2, 400, 4).now(200), |switch| {
            let duration = secs(100);
            switch.gate_timeout = Some(GateTimeout { duration, action });
        })
    };
    let at_gate = |action, seconds| {
        let mut case = with(action);
        looks(&mut case);
        case.now(seconds)
    };
    table([
        ("hold", at_gate(GateAction::Hold, 900), "SHIFTING"),
        (
            "not yet",
            at_gate(GateAction::Rollback, 299),
            "SHIFTING, wake 300",
        ),
        (
            "back",
            at_gate(GateAction::Rollback, 300),
            "READY blue by roll-back, drain 11 12 13 14, wake 300",
        ),
        (
            "it advances",
            at_gate(GateAction::Promote, 300),
            "PROVISIONING, create 6 green ACTIVE, wake 900",
        ),
    ]);
    let sentences = [GateAction::Rollback, GateAction::Promote]
        .map(|action| at_gate(action, 250).blockers().join("; "));
    let step = "step 2 of 2: 40 % to green; waiting for someone to advance";
    assert_eq!(
        sentences,
        [
            format!("{step}; rolls back at 1970-01-01 00:05:00 UTC"),
            format!("{step}; advances at 1970-01-01 00:05:00 UTC")
        ]
    );
    assert_eq!(
        held(1, 100, 1).blockers(),
        ["step 1 of 2: 10 % to green, until 1970-01-01 00:01:50 UTC"]
    );
}

#[test]
fn green_that_does_not_come_up_leads_back_from_any_share() {
    let mut lost = held(2, 400, 4).now(70);
    lost.report(14, Running, Unhealthy);
    let mut failed = held(1, 100, 1).now(70);
    failed.report(11, Terminated, Healthy);
    table([
        ("no progress", lost.clone(), "PROVISIONING, wake 670"),
        (
            "the deadline passes",
            {
                looks(&mut lost);
                lost.now(670)
            },
            "READY blue by roll-back, drain 11 12 13 14, wake 670",
        ),
        (
            "all have failed",
            failed.clone(),
            "READY blue by roll-back, wake 70",
        ),
        (
            "but it is replaced within the budget",
            switch(failed, |switch| switch.max_replacements = None),
            "PROVISIONING, create 1 green ACTIVE, wake 670",
        ),
    ]);
    let aborted = held(2, 400, 4).abort();
    assert_eq!(
        aborted.as_deref(),
        Ok("READY blue by roll-back, drain 11 12 13 14")
    );
    let superseded = held(2, 400, 4).activate(OTHER, true);
    assert_eq!(superseded.as_deref(), Ok("PROVISIONING, drain 11 12 13 14"));
}

#[test]
fn no_share_rises_on_a_health_that_nobody_confirms() {
    let case = coming_up(1).health_ttl(30).now(40);
    assert_eq!(case.says(), "PROVISIONING, wake 47.5");
    let mut case = held(1, 100, 1).health_ttl(30).now(200);
    assert_eq!(
        looks(&mut case),
        Vec::<String>::new(),
        "nor is more created"
    );
    case.report(11, Running, Healthy);
    assert_eq!(looks(&mut case), ["PROVISIONING, create 3 green ACTIVE"]);
}

#[test]
fn a_policy_that_asks_for_less_takes_no_green_away_from_its_share() {
    let mut case = coming_up(0);
    case.policy.strategy = with_steps([step(500, 50), step(800, 50)]);
    assert_eq!(looks(&mut case), ["PROVISIONING, create 5 green INACTIVE"]);
    start_green(&mut case);
    looks(&mut case);
    assert_eq!(weights(&case), [500, 500]);

    case.policy.strategy = with_steps([step(100, 50), step(200, 50)]);
    assert_eq!(looks(&mut case), [""; 0], "five carry the half");
    assert_eq!(weights(&case), [500, 500]);
    case.now = at(150);
    looks(&mut case);
    assert_eq!(weights(&case), [500, 500], "nor does the next step");
    assert_eq!(green_live(&case), 5);

    // A number that is asked for is one that its user has chosen.
    let two = CanaryStep {
        replicas: Some(IntOrPercent::Count(2)),
        ..step(800, 50)
    };
    case.policy.strategy = with_steps([step(100, 50), two]);
    looks(&mut case);
    assert_eq!(green_live(&case), 2);
}

#[test]
fn a_dark_step_takes_no_traffic() {
    let dark = [step(0, 50), step(500, 0)];
    let mut case = coming_up(1);
    case.policy.strategy = with_steps(dark);
    assert_eq!(looks(&mut case), ["SHIFTING by shift"]);
    assert_eq!(canary_of(&case).weight, Some(0));
    let told = shares(&case);
    assert!(told.weights.is_empty());
    assert_eq!(told.routes.len(), 10, "blue alone");
    case.now = at(150);
    assert_eq!(looks(&mut case), ["PROVISIONING, create 4 green INACTIVE"]);
    start_green(&mut case);
    assert_eq!(
        looks(&mut case)[0],
        "SHIFTING by shift, promote 11 12 13 14 15"
    );
    assert_eq!(weights(&case), [500, 500]);
}

#[test]
fn at_zero_replicas_it_waits() {
    let mut case = held(1, 100, 1);
    case.deployment.target_replicas = 0;
    assert_eq!(
        looks(&mut case)[0].split(", drain").next(),
        Some("PROVISIONING")
    );
    assert_eq!(
        case.blockers()[0],
        "the target is 0 replicas; it goes on when the target is raised"
    );
    case.now = at(10_000);
    assert_eq!(looks(&mut case), Vec::<String>::new());
    case.deployment.target_replicas = 10;
    let begins = "PROVISIONING, create 1 green ACTIVE, create 10 blue ACTIVE";
    assert_eq!(looks(&mut case), [begins]);
}

#[test]
fn the_number_of_replicas_may_change_at_a_step() {
    let mut shrunk = held(2, 400, 4).now(70);
    shrunk.deployment.target_replicas = 5;
    assert_eq!(shrunk.says(), "SHIFTING, drain 14 13 10 9 8 7 6, wake 120");
    looks(&mut shrunk);
    assert_eq!(canary_of(&shrunk).scaled_for, 2);
    assert_eq!(weights(&shrunk), [600, 400]);
    let mut grown = held(2, 400, 4).now(70);
    grown.deployment.target_replicas = 20;
    let more = "PROVISIONING, create 4 green ACTIVE, create 10 blue ACTIVE";
    assert_eq!(looks(&mut grown), [more]);
    assert_eq!(weights(&grown), [600, 400], "no less while more come up");
    grown.now = at(90);
    start_green(&mut grown);
    looks(&mut grown);
    assert_eq!(canary_of(&grown).scaled_for, 8);
    assert_eq!(grown.says(), "SHIFTING, wake 140", "the hold starts over");
    // 5 % of one is one.
    let one = deploying(1, [blue(Running, Healthy)]).canary([step(50, 10)]);
    assert_eq!(
        one.says(),
        "PROVISIONING, create 1 green INACTIVE, wake 600"
    );
}

#[test]
fn a_promotion_by_hand_needs_all_of_green_from_any_step() {
    let blocked = held(1, 100, 1).promote().expect_err("nine are missing");
    let verbs::PromoteRejection::Blocked(blockers) = blocked else {
        panic!("{blocked:?}");
    };
    assert_eq!(
        blockers[0].to_string(),
        "9 of 10 green routes have yet to be created"
    );
    let mut greens = vec![green(Running, Healthy).active().times(4)];
    greens.push(green(Running, Healthy).active().times(6));
    let mut all = held(2, 400, 4);
    all.routes = deploying(10, blues(10).chain(greens)).routes;
    let promoted = "READY green by promotion, drain 1 2 3 4 5 6 7 8 9 10";
    assert_eq!(all.promote().as_deref(), Ok(promoted));
}

#[test]
fn a_way_back_takes_no_steps() {
    let greens = green(Running, Healthy).times(10);
    let back = deploying(10, blues(10).chain([greens])).canary(steps());
    let back = back.rollout(|rollout| {
        rollout.kind = viridian_strategy::RolloutKind::Back { gated: false };
    });
    let promoted = "READY green by promotion, promote 11 12 13 14 15 16 17 18 19 20, drain 1 2 3 4 5 6 7 8 9 10, wake 100";
    assert_eq!(back.says(), promoted);
}

#[test]
fn the_share_follows_the_ready_routes_in_the_same_table() {
    let mut case = held(2, 400, 4);
    let mut seen = vec![weights(&case)];
    for id in 11..=14 {
        case.report(id, Running, Unhealthy);
        seen.push(weights(&case));
    }
    case.report_all(11..=14, Running, Healthy);
    seen.push(weights(&case));
    let all: Vec<u16> = seen.iter().map(|weights| weights[1]).collect();
    assert_eq!(all, [400, 300, 200, 100, 0, 400]);
    assert!(
        seen.iter()
            .all(|weights| weights.iter().sum::<u16>() == 1_000)
    );
    // 333 of 1,000 by two of three is 222; by one, 111.
    let mut case = held(2, 333, 3);
    case.report(11, Running, Degraded);
    assert_eq!(weights(&case), [778, 222]);
}

#[test]
fn a_checker_that_fails_for_a_moment_puts_nothing_more_on_green() {
    let mut case = held(1, 100, 1);
    case.report_all(1..=10, Running, Unhealthy);
    assert_eq!(weights(&case), [900, 100], "blue fails open");
    assert_eq!(shares(&case).routes.len(), 11);
    case.report(11, Running, Unhealthy);
    assert!(weights(&case).is_empty(), "no weights: all fail open");
    assert_eq!(shares(&case).routes.len(), 11);
    let mut case = held(1, 100, 1);
    case.report_all(1..=10, Terminated, Healthy);
    assert_eq!(weights(&case), [0, 1_000], "nothing of blue is left");
    assert_eq!(shares(&case).routes.len(), 1);
    let never = deploying(1, [blue(Running, NotChecked).never_healthy()]);
    assert!(shares(&never).routes.is_empty());
}

/// What proxies read that know nothing of weights.
#[test]
fn the_ratios_of_routes_split_as_the_weights_do() {
    let told = shares(&held(2, 400, 4));
    let of = |revision| {
        let routes = told.routes.iter().filter(move |it| it.revision == revision);
        routes.map(|it| it.ratio).sum::<f64>()
    };
    let (blue, green) = (of(BLUE), of(GREEN));
    assert!((green / (blue + green) - 0.4).abs() < 1e-9);
    let greatest = told.routes.iter().map(|it| it.ratio).fold(0.0, f64::max);
    assert_eq!(greatest, 1.0);
}

#[test]
fn what_its_settings_must_keep_to() {
    let errors = |steps: &[CanaryStep]| {
        let policy = Policy {
            strategy: Strategy::Canary(Canary {
                steps: steps.to_vec(),
                switch: BlueGreen::default(),
            }),
            ..Policy::default()
        };
        policy.errors()
    };
    let with = |replicas| CanaryStep {
        replicas: Some(replicas),
        ..step(10, 0)
    };
    let path = |path: &str| path.to_owned();
    let eleven: Vec<CanaryStep> = (1..=11).map(|weight| step(weight, 0)).collect();
    assert_eq!(errors(&eleven[..10]), []);
    assert_eq!(errors(&[step(0, 0), step(999, 0)]), []);
    assert_eq!(errors(&[]), [PolicyError::StepCount]);
    assert_eq!(errors(&eleven), [PolicyError::StepCount]);
    assert_eq!(
        errors(&[
            step(100, 0),
            step(100, 0),
            step(50, 0),
            step(1_000, 0),
            step(0, 0)
        ]),
        [
            PolicyError::WeightNotRising(path("canary.steps[1].weight_permille")),
            PolicyError::WeightNotRising(path("canary.steps[2].weight_permille")),
            PolicyError::WeightTooLarge(path("canary.steps[3].weight_permille")),
            PolicyError::WeightNotRising(path("canary.steps[4].weight_permille")),
        ]
    );
    assert_eq!(
        errors(&[with(IntOrPercent::Count(0)), step(20, 31 * 86_400)]),
        [
            PolicyError::ReplicasZero(path("canary.steps[0].replicas")),
            PolicyError::TooLong(path("canary.steps[1].hold")),
        ]
    );
    let case = switch(coming_up(0), |switch| switch.min_ready = secs(31 * 86_400));
    assert_eq!(
        case.policy.errors(),
        [PolicyError::TooLong(path("canary.min_ready"))]
    );
}
