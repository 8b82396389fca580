//! Canaries at the command line.

use tokio::io::{AsyncBufReadExt as _, BufReader};
use viridian_proto::v1::{
    CanarySpec, CanaryStep, Deployment, DeploymentPolicy, DeploymentSubStep,
    deployment_policy::Strategy,
};

use super::{deployment, json, verbs::succeeded};
use crate::harness::{Engine, REFERENCE, TestEnv, manual, seconds, viridian, within};

/// Steps in per mille that wait until they are advanced.
fn canary(weights: &[i32]) -> DeploymentPolicy {
    let step = |&weight_permille| CanaryStep {
        weight_permille,
        manual: true,
        ..CanaryStep::default()
    };
    DeploymentPolicy {
        strategy: Some(Strategy::Canary(CanarySpec {
            steps: weights.iter().map(step).collect(),
            scale_down_delay: seconds(0.0),
            ..CanarySpec::default()
        })),
        drain_grace: seconds(0.0),
        ..DeploymentPolicy::default()
    }
}

async fn at_step(env: &TestEnv, step: i32) -> Deployment {
    env.until("the step", |it| {
        it.step == step && it.sub_step() == DeploymentSubStep::Shifting
    })
    .await
}

/// The present state, as a watch prints it before anything changes.
async fn first_line_of_watch(url: &str) -> String {
    let mut command = viridian(&["deployment", "watch", REFERENCE, "--plain"]);
    command.env("VIRIDIAN_SERVER", url).kill_on_drop(true);
    let mut process = command.spawn().expect("it can be started");
    let mut stdout = BufReader::new(process.stdout.take().expect("stdout is a pipe"));
    let mut line = String::new();
    let read = within("its first line", stdout.read_line(&mut line)).await;
    assert_ne!(read.expect("UTF-8"), 0, "it ended without a line");
    line
}

#[tokio::test]
async fn a_canary_is_advanced_step_by_step_and_aborted_at_its_share() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let before = env.serving(4, canary(&[50, 250, 500])).await;
    let early = deployment(&url, &["advance", REFERENCE]).await;
    assert_eq!(early.code, Some(64 + 9), "{early:?}");
    assert!(early.stderr.contains("NOT_DEPLOYING"), "{early:?}");
    env.deploy().await;
    at_step(&env, 1).await;

    let shown = succeeded(&url, &["get", REFERENCE]).await;
    for text in [
        "SHIFTING",
        "1 of 3, 5 %",
        "5 % to revision 2",
        "deployment advance",
    ] {
        assert!(shown.contains(text), "{text}: {shown}");
    }
    let status = deployment(&url, &["status", REFERENCE]).await;
    assert_eq!(status.code, Some(3), "{status:?}");
    let wrong = deployment(&url, &["advance", REFERENCE, "--expected-step", "2"]).await;
    assert_eq!(wrong.code, Some(64 + 10), "{wrong:?}");
    assert!(wrong.stderr.contains("STEP_MISMATCH"), "{wrong:?}");

    let advanced = succeeded(&url, &["advance", REFERENCE, "--wait"]).await;
    assert!(advanced.contains("Step 1 of 3 is over"), "{advanced}");
    assert!(advanced.contains("25 % to revision 2, 75 %"), "{advanced}");
    assert_eq!(at_step(&env, 2).await.step, 2);
    let traffic = succeeded(&url, &["traffic", REFERENCE]).await;
    assert!(
        traffic.contains("75 % to revision 1, 25 % to revision 2"),
        "{traffic}"
    );
    assert!(traffic.contains("18.8%"), "{traffic}");
    let list = succeeded(&url, &["list"]).await;
    assert!(list.contains("1/4 (25 %)"), "{list}");
    let line = first_line_of_watch(&url).await;
    assert!(line.contains("DEPLOYING / SHIFTING"), "{line}");

    let paused = succeeded(&url, &["pause", REFERENCE]).await;
    assert!(paused.contains("Paused at step 2 of 3"), "{paused}");
    let refused = deployment(&url, &["advance", REFERENCE]).await;
    assert_eq!(refused.code, Some(64 + 9), "{refused:?}");
    assert!(refused.stderr.contains("deployment resume"), "{refused:?}");
    succeeded(&url, &["resume", REFERENCE]).await;

    let back = succeeded(&url, &["abort", REFERENCE]).await;
    assert!(back.contains("The rollout was given up"), "{back}");
    let after = env.ready().await;
    assert_eq!(after.current_revision_id, before.current_revision_id);
    assert_eq!((after.step, after.split), (0, None));
    let history = succeeded(&url, &["history", REFERENCE]).await;
    for text in ["SHIFT 5%", "SHIFT 25%", "ADVANCE", "ABORT"] {
        assert!(history.contains(text), "{text}: {history}");
    }
}

#[tokio::test]
async fn the_last_step_leads_to_the_gate_and_the_promotion() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(2, canary(&[50, 250, 500])).await;
    let deploying = env.deploy().await;
    at_step(&env, 1).await;
    succeeded(&url, &["advance", REFERENCE, "--to-last", "--wait"]).await;
    assert_eq!(at_step(&env, 3).await.step, 3);
    let gate = deployment(&url, &["advance", REFERENCE, "--wait"]).await;
    assert_eq!(gate.code, Some(3), "someone has to promote: {gate:?}");
    succeeded(&url, &["promote", REFERENCE, "--wait"]).await;
    let ready = env.ready().await;
    assert_eq!(ready.current_revision_id, deploying.deploying_revision_id);
}

#[tokio::test]
async fn steps_are_set_by_flags_and_come_back_from_a_file() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let steps = [
        "--step",
        "0%:5m",
        "--step",
        "2.5%:10m:replicas=2",
        "--step",
        "25%:manual",
    ];
    let create = [
        "create",
        REFERENCE,
        "--replicas",
        "4",
        "--strategy",
        "canary",
    ];
    succeeded(&url, &[&create[..], &steps].concat()).await;
    let exported = succeeded(&url, &["export", REFERENCE]).await;
    for text in ["weight: 2.5%", "weight: 25%", "replicas: 2", "manual: true"] {
        assert!(exported.contains(text), "{text}: {exported}");
    }
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("web.yaml");
    std::fs::write(&path, &exported).expect("a file");
    let file = path.display().to_string();
    let same = succeeded(&url, &["apply", "-f", &file]).await;
    assert!(same.contains("Nothing to do"), "{same}");
    std::fs::write(&path, exported.replace("2.5%", "7.5%")).expect("a file");
    let plan = succeeded(&url, &["apply", "-f", &file, "--dry-run"]).await;
    assert!(
        plan.contains("policy.canary.steps") && plan.contains("7.5%:600s:replicas=2"),
        "{plan}"
    );
    succeeded(&url, &["apply", "-f", &file]).await;
    let value = json(&url, &["get", REFERENCE, "-o", "json"]).await;
    let weight = &value["policy"]["canary"]["steps"][1]["weightPermille"];
    assert_eq!(weight, 75, "{value}");
    // What two strategies share is for the one that there is.
    succeeded(&url, &["update", REFERENCE, "--min-ready", "5s"]).await;
    let policy = env.get().await.policy.expect("a policy");
    assert!(
        matches!(policy.strategy, Some(Strategy::Canary(_))),
        "{policy:?}"
    );
}

#[tokio::test]
async fn steps_that_break_a_rule_are_refused_by_their_number() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let create = ["create", REFERENCE, "--strategy", "canary"];
    let many: Vec<String> = (1..=11).map(|it| format!("--step={it}%")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (steps, code, problem) in [
        (
            &["--step", "25%", "--step", "5%"][..],
            67,
            "step 2, policy.canary.steps[1]",
        ),
        (
            &["--step", "5%", "--step", "0%"],
            67,
            "step 2, policy.canary.steps[1]",
        ),
        (&["--step", "100%"], 67, "step 1, policy.canary.steps[0]"),
        (&many, 67, "policy.canary.steps"),
        (
            &["--step", "5"],
            2,
            "expected a share of the traffic like 5%",
        ),
        (&["--step", "5%:10"], 2, "is neither a hold like 10m"),
        (
            &["--max-surge", "1"],
            2,
            "--max-surge cannot be combined with the canary",
        ),
        (
            &["--promote-delay", "1m"],
            2,
            "--promote-delay cannot be combined",
        ),
    ] {
        let run = deployment(&url, &[&create[..], steps].concat()).await;
        assert_eq!(run.code, Some(code), "{steps:?}: {run:?}");
        assert!(run.stderr.contains(problem), "{steps:?}: {run:?}");
    }
    // Nothing was made of it; and no rollout changes its strategy.
    env.at_gate(1, manual()).await;
    let update = ["update", REFERENCE, "--strategy", "canary"];
    let run = deployment(&url, &update).await;
    assert_eq!(run.code, Some(64 + 9), "{run:?}");
    assert!(run.stderr.contains("STRATEGY_IN_USE"), "{run:?}");
    let run = deployment(&url, &["update", REFERENCE, "--step", "5%"]).await;
    assert_eq!(run.code, Some(2), "{run:?}");
    let run = deployment(&url, &["advance", REFERENCE]).await;
    assert!(run.stderr.contains("NOT_CANARY"), "{run:?}");
}
