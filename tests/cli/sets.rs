//! Several deployments in one step: all of them switch, or none does.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    BlueGreenSpec, Deployment, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep,
    RouteHealthStatus,
};

use super::{deployment, json, verbs::succeeded};
use crate::{
    engines::both_engines,
    harness::{Engine, FinishedProgram, REFERENCE, TestEnv, blue_green, creation, seconds},
};

const OTHER: &str = "shop/api";

#[apply(both_engines)]
#[tokio::test]
async fn a_set_is_promoted_and_rolled_back_in_one_step(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    pair_at_gate(&env, retaining()).await;
    let before = seen(&env).await;

    let switched = "  shop/web: traffic to 2 routes, and from 2 routes\n  \
                    shop/api: traffic to 2 routes, and from 2 routes\n";
    let dry = succeeded(&url, &["promote", REFERENCE, OTHER, "--dry-run"]).await;
    let headline = "Would switch 2 deployments in one step:\n";
    assert_eq!(dry, format!("{headline}{switched}"));
    assert_eq!(seen(&env).await, before, "nothing is changed");
    let promoted = succeeded(&url, &["promote", REFERENCE, OTHER]).await;
    let headline = "Promoted 2 deployments in one step:\n";
    assert_eq!(promoted, format!("{headline}{switched}"));
    for (after, before) in seen(&env).await.iter().zip(&before) {
        assert_eq!(after.current_revision_id, before.deploying_revision_id);
    }

    // There is nothing left to promote, which is said of each.
    let again = deployment(&url, &["promote", REFERENCE, OTHER]).await;
    is_refused(&again, 9, "because of 2 deployments");
    for member in [REFERENCE, OTHER] {
        let line = format!("\n  - {member}: ");
        assert!(again.stderr.contains(&line), "{again:?}");
    }

    let before_rollback = seen(&env).await;
    let dry = succeeded(&url, &["rollback", REFERENCE, OTHER, "--dry-run"]).await;
    assert!(dry.starts_with("Would switch 2 deployments"), "{dry}");
    assert_eq!(seen(&env).await, before_rollback, "nothing is changed");
    // In another order than before.
    let back = json(&url, &["rollback", OTHER, REFERENCE, "-o", "json"]).await;
    for (after, before) in seen(&env).await.iter().zip(&before) {
        assert_eq!(after.current_revision_id, before.current_revision_id);
    }
    let commit = back["commitId"].as_str().expect("a commit id");
    for member in [REFERENCE, OTHER] {
        let history = json(&url, &["history", member, "-o", "json"]).await;
        assert_eq!(history["entries"][0]["commitId"], commit, "{history}");
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn one_member_that_is_not_ready_refuses_all_and_is_named(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    pair_at_gate(&env, retaining()).await;
    let green = env.api.get(OTHER).await.deploying_revision_id;
    let routes = env.api.list_routes(OTHER).await.into_iter();
    let sick: Vec<_> = routes
        .filter(|it| it.revision_id == green)
        .take(1)
        .collect();
    env.api.see(&sick, RouteHealthStatus::Unhealthy).await;
    let is_blocked = |it: &Deployment| it.sub_step() != DeploymentSubStep::AwaitingPromotion;
    env.api.until(OTHER, "it is not ready", is_blocked).await;
    let before = seen(&env).await;

    let refused = deployment(&url, &["promote", REFERENCE, OTHER]).await;
    is_refused(
        &refused,
        9,
        "because of 1 deployment; `viridian deployment get shop/api` shows what blocks it \
         (FAILED_PRECONDITION, PROMOTION_BLOCKED)\n  - shop/api: cannot promote: ",
    );
    assert!(!refused.stderr.contains(REFERENCE), "{refused:?}");
    assert_eq!(seen(&env).await, before, "nothing is changed");

    // A question is answered, and the answer is no failure.
    let dry = succeeded(&url, &["promote", REFERENCE, OTHER, "--dry-run"]).await;
    let headline = "Cannot be promoted now:\n  shop/api:\n";
    assert!(dry.starts_with(headline), "{dry}");
    assert!(!dry.contains(REFERENCE), "{dry}");
    assert_eq!(seen(&env).await, before, "nothing is changed");

    env.api.see(&sick, RouteHealthStatus::Healthy).await;
    env.api.until(OTHER, "the gate", is_at_gate).await;
    let promoted = succeeded(&url, &["promote", REFERENCE, OTHER]).await;
    assert!(promoted.starts_with("Promoted 2 deployments"), "{promoted}");
}

#[apply(both_engines)]
#[tokio::test]
async fn a_member_that_would_have_to_start_routes_is_rolled_back_by_itself(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let url = env.server.url();
    pair_at_gate(&env, draining()).await;
    succeeded(&url, &["promote", REFERENCE, OTHER]).await;
    let before = seen(&env).await;
    let refused = deployment(&url, &["rollback", REFERENCE, OTHER]).await;
    is_refused(
        &refused,
        9,
        "because of 1 deployment; `viridian deployment rollback shop/api` deploys it again \
         (FAILED_PRECONDITION, ROLLBACK_NOT_INSTANT)\n  - shop/api: ",
    );
    for (after, before) in seen(&env).await.iter().zip(&before) {
        assert_eq!(after.current_revision_id, before.current_revision_id);
        assert_eq!(after.deploying_revision_id, "", "nothing is changed");
    }
}

#[tokio::test]
async fn a_set_of_names_that_cannot_be_is_refused() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    pair_at_gate(&env, retaining()).await;
    let before = seen(&env).await;
    let id = before[0].id.as_str();
    let many: Vec<_> = (0..51).map(|number| format!("shop/d-{number}")).collect();
    let many: Vec<_> = many.iter().map(String::as_str).collect();
    let twice = "is the same deployment as members[0]";
    let missing = "`viridian deployment list` shows the existing ones";
    let too_large = "name fewer deployments in each command (INVALID_ARGUMENT, SET_TOO_LARGE)";
    for verb in ["promote", "rollback"] {
        for (names, flags, code, text) in [
            (&[REFERENCE, REFERENCE][..], &[][..], 3, twice),
            // By another name, which only the server knows to be the same.
            (&[REFERENCE, id], &[], 3, twice),
            (&[REFERENCE, OTHER, REFERENCE], &["--dry-run"], 3, twice),
            (&[REFERENCE, "shop/none"], &[], 5, missing),
            (&[REFERENCE, "shop/none"], &["--dry-run"], 5, missing),
            (&many, &["--dry-run"], 3, too_large),
        ] {
            let run = deployment(&url, &[&[verb], names, flags].concat()).await;
            assert_eq!(run.code, Some(64 + code), "{verb} {names:?}: {run:?}");
            assert!(run.stderr.contains(text), "{verb} {names:?}: {run:?}");
            assert_eq!(run.stdout, "", "{run:?}");
        }
        // What concerns one deployment cannot be said of several.
        let usage = [verb, REFERENCE, OTHER, "--expected-revision", "2"];
        let run = deployment(&url, &usage).await;
        assert_eq!(run.code, Some(2), "{run:?}");
    }
    assert_eq!(seen(&env).await, before, "nothing is changed");
}

fn is_refused(run: &FinishedProgram, code: i32, text: &str) {
    assert_eq!(run.code, Some(64 + code), "{run:?}");
    let whole = format!("error: nothing was changed, {text}");
    assert!(run.stderr.starts_with(&whole), "{whole}: {run:?}");
    assert_eq!(run.stdout, "", "{run:?}");
}

/// Keeps the old routes, so that each way back is instant.
fn retaining() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    })
}

fn draining() -> DeploymentPolicy {
    blue_green(BlueGreenSpec {
        scale_down_delay: seconds(0.0),
        ..BlueGreenSpec::default()
    })
}

fn is_at_gate(it: &Deployment) -> bool {
    it.sub_step() == DeploymentSubStep::AwaitingPromotion
}

/// Two deployments whose second revisions are ready. Only the policy of the second one varies.
async fn pair_at_gate(env: &TestEnv, policy: DeploymentPolicy) {
    env.at_gate(2, retaining()).await;
    let mut request = creation(2, policy);
    request.name = "api".to_owned();
    env.api.create(request).await.expect("it can be created");
    let is_ready = |it: &Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    env.api.until(OTHER, "READY", is_ready).await;
    let deployed = env.api.create_revision(OTHER, true).await;
    deployed.expect("it can be activated");
    env.api.until(OTHER, "the gate", is_at_gate).await;
}

async fn seen(env: &TestEnv) -> [Deployment; 2] {
    [env.api.get(REFERENCE).await, env.api.get(OTHER).await]
}
