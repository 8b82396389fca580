//! What must hold of a canary, broken behind Viridian's back, is found.

use rstest_reuse::apply;
use viridian_strategy::{BlueGreen, Canary, CanaryStep, Policy, RouteHealth, Strategy, SubStep};

use super::{
    super::fixture::{Engine, Fixture, engines},
    found, tamper,
};

/// A statement in which `$d` is the id of a deployment whose canary has a quarter of the
/// traffic, and the invariants that it breaks.
const CASES: &[(&str, &[&str])] = &[
    // A share is a canary's, from its first step on.
    (
        "UPDATE deployments SET weight_permille = NULL, shares = NULL WHERE id = $d",
        &["I2", "I14", "I17", "I18"],
    ),
    (
        "UPDATE deployments SET canary_step = 0 WHERE id = $d",
        &["I17"],
    ),
    (
        "UPDATE deployments SET sub_step = 'ROLLING_BACK' WHERE id = $d; \
         UPDATE history SET to_sub_step = 'ROLLING_BACK' WHERE deployment_id = $d \
         AND number = (SELECT last_history FROM deployments WHERE id = $d)",
        &["I17"],
    ),
    (
        "UPDATE deployments SET policy = REPLACE(policy, '\"Canary\"', '\"Other\"') WHERE id = $d",
        &["I17"],
    ),
    // Ready routes of the canary take its share.
    (
        "UPDATE routes SET traffic_status = 'INACTIVE', traffic_ratio = 0 WHERE deployment_id = $d \
         AND revision_id = (SELECT deploying_revision_id FROM deployments WHERE id = $d)",
        &["I14", "I18"],
    ),
    // Its table divides the traffic as it says.
    (
        "UPDATE deployments SET shares = REPLACE(shares, ':750}', ':751}') WHERE id = $d",
        &["I19"],
    ),
    (
        "UPDATE deployments SET weight_permille = 249 WHERE id = $d",
        &["I19"],
    ),
    (
        "UPDATE deployments SET endpoints = REPLACE(endpoints, '\"ratio\":1.0', '\"ratio\":0.5') \
         WHERE id = $d",
        &["I19"],
    ),
    (
        "UPDATE deployments SET endpoints = '[]' WHERE id = $d",
        &["I14"],
    ),
    // The old routes that are not ready serve only where none of theirs is.
    (
        "UPDATE routes SET health = 'UNHEALTHY' WHERE id = \
         (SELECT MIN(id::text)::uuid FROM routes WHERE traffic_status = 'ACTIVE' AND deployment_id = $d \
          AND revision_id = (SELECT current_revision_id FROM deployments WHERE id = $d))",
        &["I14"],
    ),
];

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_broken_of_a_canary_is_found(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    for (statement, broken) in CASES {
        let id = fixture.ready(4, quarter()).await;
        fixture.deploy(id).await;
        fixture.bring_up(id, RouteHealth::Healthy).await;
        let canary = fixture.get(id).await;
        assert_eq!(canary.state.sub_step(), Some(SubStep::Shifting));
        assert_eq!(found(&fixture, id).await, [""; 0], "before {statement}");
        let statement = match engine {
            Engine::Sqlite => statement.replace("MIN(id::text)::uuid", "MIN(id)"),
            Engine::Postgres => (*statement).to_owned(),
        };
        tamper(&fixture, id, &statement).await;
        assert_eq!(found(&fixture, id).await, *broken, "{statement}");
    }
}

/// A canary that waits at a quarter until it is advanced.
fn quarter() -> Policy {
    let step = CanaryStep {
        weight_permille: 250,
        hold: std::time::Duration::ZERO,
        manual: true,
        replicas: None,
    };
    Policy {
        strategy: Strategy::Canary(Canary {
            steps: vec![step],
            switch: BlueGreen::default(),
        }),
        ..Policy::default()
    }
}
