//! `--wait`: to where it leads, to where it does not, and no longer.

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::{Child, ChildStderr},
};
use viridian_proto::v1::{DeploymentPolicy, DeploymentSubStep, RouteHealthStatus};

use super::deployment;
use crate::harness::{
    Engine, GROUP, REFERENCE, RouteBehavior, Terminal, TestEnv, delete, manual, seconds, viridian,
    within,
};

#[tokio::test]
async fn a_rollout_that_is_given_up_is_1_and_says_why() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::FailsToStart]);
    let run = deployment(&url, &["activate", REFERENCE, "--image", "bad:1", "--wait"]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert_eq!(run.stdout, "");
    let last = run.stderr.lines().last().unwrap_or_default();
    assert!(
        last.starts_with("error: shop/web is not serving the new revision: it was rolled back"),
        "{run:?}"
    );
    assert!(last.contains("no green route is left: 2 failed"), "{run:?}");
    assert!(last.contains("first failure: no such image"), "{run:?}");
}

/// There is nothing to go back to, so the server tries on; but nobody waits for ever.
#[tokio::test]
async fn a_first_version_that_does_not_come_up_ends_the_wait_and_is_tried_on() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    let healthy = RouteBehavior::Runs(RouteHealthStatus::Healthy);
    let fails = RouteBehavior::FailsToStart;
    // With the back-off it comes up seconds after the deadline.
    env.scheduler.plan(1, [fails, fails, fails, fails, healthy]);
    let create = [
        "create",
        REFERENCE,
        "--image",
        "late:1",
        "--resource-group",
        GROUP,
        "--first-deadline",
        "1s",
        "--wait",
    ];
    let run = deployment(&url, &create).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    let last = run.stderr.lines().last().unwrap_or_default();
    let why = "did not come up within 1 s: 0 of 1 routes are ready; it is tried on";
    assert!(last.contains(why), "{run:?}");
    assert!(last.contains("first failure: no such image"), "{run:?}");
    let run = deployment(&url, &["status", REFERENCE]).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stdout.contains("revision 1 never came up"), "{run:?}");
    env.ready().await;
}

/// Where the message leads: `get` says it too, for as long as no other rollout ends.
#[tokio::test]
async fn c2_get_says_why_the_last_rollout_failed() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::FailsToStart]);
    env.deploy().await;
    env.ready().await;
    let run = deployment(&url, &["get", REFERENCE]).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(
        run.stdout.contains("Rollout     revision 2 ROLLED_BACK "),
        "{run:?}"
    );
    assert!(
        run.stdout.contains("first failure: no such image"),
        "{run:?}"
    );
    let run = deployment(&url, &["get", REFERENCE, "-o", "json"]).await;
    let result: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    let last = &result["lastRollout"];
    assert_eq!(last["outcome"], "ROLLOUT_OUTCOME_ROLLED_BACK");
    assert_eq!(last["revisionNumber"], "2");
    assert_eq!(last["failure"], "no such image");
    assert_eq!(result["currentRevisionNumber"], "1");
}

#[tokio::test]
async fn the_time_may_be_over_first() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    let wait = [
        "activate",
        REFERENCE,
        "--image",
        "i",
        "--wait",
        "--timeout",
        "10ms",
    ];
    let run = deployment(&url, &wait).await;
    assert_eq!(run.code, Some(1), "{run:?}");
    assert!(run.stderr.contains("the rollout goes on"), "{run:?}");
    let now = env.get().await;
    assert_eq!(now.sub_step(), DeploymentSubStep::Provisioning);
}

/// What is waited for is told on stderr, a change a line: stdout is for the result.
#[tokio::test]
async fn changes_are_told_while_it_waits() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(2, manual()).await;
    let wait = [
        "activate", REFERENCE, "--image", "i", "--wait", "-o", "json",
    ];
    let run = deployment(&url, &wait).await;
    // Done so far, and someone has to promote.
    assert_eq!(run.code, Some(3), "{run:?}");
    let result: serde_json::Value = serde_json::from_str(&run.stdout).expect("JSON");
    assert_eq!(result["subStep"], "DEPLOYMENT_SUB_STEP_AWAITING_PROMOTION");
    let mut lines = run.stderr.lines().rev();
    assert_eq!(
        lines.next(),
        Some(
            "shop/web waits for someone to promote; revision 1 (registry.test/web:1) serves until \
             then: viridian deployment promote shop/web"
        )
    );
    let last = lines.next().unwrap_or_default();
    assert!(
        last.starts_with("DEPLOYING / AWAITING_PROMOTION, blue 2/2, green 2/2"),
        "{run:?}"
    );
}

/// On a terminal there is a bar, and Ctrl-C is a key.
#[tokio::test]
async fn a_terminal_has_a_bar() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(2, manual()).await;
    env.scheduler.plan(
        2,
        [
            RouteBehavior::Runs(RouteHealthStatus::Healthy),
            RouteBehavior::Pending,
        ],
    );
    let terminal = Terminal::start(&env.server.url(), &ACTIVATE);
    terminal
        .shows("] 1/2 DEPLOYING / PROVISIONING, blue 2/2, green 1/2")
        .await;
    terminal.press(&["C-c"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 130, "{screen}");
    assert!(screen.contains("stopped waiting;"), "{screen}");
    let now = env.get().await;
    assert_eq!(now.sub_step(), DeploymentSubStep::Provisioning);
}

/// What is waited for will not come any more.
#[tokio::test]
async fn one_that_is_destroyed_meanwhile_is_1() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    let (mut process, mut stderr, _) = activating(&env).await;
    let deleted = env.api.delete(delete(REFERENCE)).await;
    deleted.expect("it is deleted");
    let status = within("its end", process.wait()).await.expect("it ends");
    assert_eq!(status.code(), Some(1));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).await.expect("UTF-8");
    assert!(rest.contains("it was destroyed"), "{rest}");
}

#[tokio::test]
async fn ctrl_c_ends_the_waiting_and_nothing_else() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let policy = DeploymentPolicy {
        progress_deadline: seconds(600.0),
        ..manual()
    };
    env.serving(1, policy).await;
    env.scheduler.plan(2, [RouteBehavior::Pending]);
    let (mut process, mut stderr, line) = activating(&env).await;
    assert!(line.starts_with("DEPLOYING / PROVISIONING"), "{line}");
    let pid = i32::try_from(process.id().expect("it runs")).expect("a process id");
    kill(Pid::from_raw(pid), Signal::SIGINT).expect("it runs");
    let status = within("its end", process.wait()).await.expect("it ends");
    assert_eq!(status.code(), Some(130));
    let mut rest = String::new();
    stderr.read_to_string(&mut rest).await.expect("UTF-8");
    let last = rest.lines().last().unwrap_or_default();
    assert_eq!(
        last,
        "stopped waiting; the change was made, and the rollout goes on: viridian deployment \
         watch shop/web"
    );
    let now = env.get().await;
    assert_eq!(now.sub_step(), DeploymentSubStep::Provisioning);
}

/// An activation that waits, what it has to say, and the first line of that.
async fn activating(env: &TestEnv) -> (Child, BufReader<ChildStderr>, String) {
    let mut command = viridian(&ACTIVATE);
    command.env("VIRIDIAN_SERVER", env.server.url());
    let mut process = command.spawn().expect("it can be started");
    let mut stderr = BufReader::new(process.stderr.take().expect("stderr is a pipe"));
    let mut line = String::new();
    within("its first line", stderr.read_line(&mut line))
        .await
        .expect("a line");
    (process, stderr, line)
}

const ACTIVATE: [&str; 6] = [
    "deployment",
    "activate",
    REFERENCE,
    "--image",
    "i",
    "--wait",
];
