//! The live view in a real terminal: a whole rollout on the screen, and by keys.

use viridian_proto::v1::{BlueGreenSpec, DeploymentLifecycle, RouteHealthStatus};

use super::deployment;
use crate::harness::{
    Engine, REFERENCE, RouteBehavior, SwitchableProxy, Terminal, TestEnv, blue_green, closed_port,
    manual, seconds,
};

const WATCH: [&str; 3] = ["deployment", "watch", REFERENCE];

#[tokio::test]
async fn a_whole_rollout_is_seen_and_promoted_by_key() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    });
    let serving = env.serving(2, policy).await;
    let terminal = Terminal::start(&env.server.url(), &WATCH);
    terminal.shows("shop/web  READY").await;
    let screen = terminal
        .shows("● blue   revision 1 (registry.test/web:1)  2/2 ready, 2 with traffic")
        .await;
    assert_eq!(
        screen
            .matches("RUNNING          HEALTHY      ACTIVE")
            .count(),
        2,
        "{screen}"
    );

    // Its routes come up, and one is not well for a while.
    let unwell = RouteBehavior::Runs(RouteHealthStatus::Unhealthy);
    let well = RouteBehavior::Runs(RouteHealthStatus::Healthy);
    env.scheduler.plan(2, [unwell, well]);
    let deploying = env.deploy().await;
    terminal.shows("DEPLOYING / PROVISIONING").await;
    terminal.shows("1/2 ready, 1 not healthy").await;
    terminal
        .shows("RUNNING          UNHEALTHY    INACTIVE")
        .await;
    terminal.shows("rolls back without progress in ").await;

    // Too early: refused, with what is in the way.
    terminal.press(&["p"]);
    terminal
        .shows("Promote shop/web to revision 2 (registry.test/web:1)? 1 of 2 green")
        .await;
    terminal.press(&["y"]);
    terminal.shows("shop/web cannot be promoted yet").await;
    terminal.shows("(GREEN_UNHEALTHY)").await;

    let green = env.routes_of(&deploying.deploying_revision_id).await;
    env.api.see(&green, RouteHealthStatus::Healthy).await;
    terminal.shows("DEPLOYING / AWAITING_PROMOTION").await;
    terminal.shows("waiting for someone to promote").await;

    // A no is a no.
    terminal.press(&["p"]);
    terminal.shows("2 of 2 green routes are ready").await;
    terminal.press(&["n"]);
    terminal.shows("nothing was changed").await;
    assert_eq!(
        env.get().await.current_revision_id,
        serving.current_revision_id
    );

    terminal.press(&["p"]);
    terminal.shows("[y/n]").await;
    terminal.press(&["y"]);
    terminal
        .shows("promoted: 2 routes gained traffic, 2 lost it")
        .await;
    terminal.shows("shop/web  READY").await;
    terminal.shows("● blue   revision 2").await;
    let screen = terminal.shows("● kept   revision 1").await;
    assert_eq!(screen.matches("retained").count(), 2, "{screen}");
    terminal
        .shows("PROMOTE    AWAITING_PROMOTION → READY")
        .await;
    assert_eq!(
        env.get().await.current_revision_id,
        deploying.deploying_revision_id
    );

    // What is left on the terminal is the deployment as it is.
    terminal.press(&["q"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.contains("Current     2 (registry.test/web:1)"),
        "{screen}"
    );
}

#[tokio::test]
async fn every_key_asks_and_then_does_it() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let policy = blue_green(BlueGreenSpec {
        scale_down_delay: seconds(300.0),
        ..BlueGreenSpec::default()
    });
    env.at_gate(1, policy).await;
    let terminal = Terminal::start(&env.server.url(), &WATCH);
    for (key, question, done, sign) in [
        ("Space", "Pause shop/web?", "paused: the rollout", "PAUSED"),
        (
            "Space",
            "Resume shop/web?",
            "resumed: the rollout continues",
            "AWAITING_PROMOTION",
        ),
        (
            "a",
            "Abort the rollout of shop/web?",
            "aborted:",
            "shop/web  READY",
        ),
    ] {
        terminal.shows("q quit").await;
        terminal.press(&[key]);
        terminal.shows(question).await;
        terminal.press(&["y"]);
        terminal.shows(done).await;
        terminal.shows(sign).await;
    }
    env.bring_up().await;
    env.promote().await;
    terminal.shows("● kept   revision 1").await;
    terminal.press(&["r"]);
    terminal.shows("Roll shop/web back from revision 3").await;
    terminal.press(&["y"]);
    terminal
        .shows("rolled back: the traffic has switched")
        .await;
    terminal.shows("● blue   revision 1").await;
    // Nothing is on its way: there is nothing to promote.
    terminal.press(&["p"]);
    terminal.shows("nothing to promote now").await;
    // The reason stands with each; an abort is two moves.
    let history = deployment(&env.server.url(), &["history", REFERENCE]).await;
    assert_eq!(
        history.stdout.matches("by key in the live view").count(),
        5,
        "{history:?}"
    );
    terminal.press(&["C-c"]);
    assert_eq!(terminal.ended().await.0, 0);
}

#[tokio::test]
async fn a_server_that_is_away_is_seen_and_waited_for() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let way = SwitchableProxy::to(env.server.address()).await;
    let terminal = Terminal::start(&way.url(), &WATCH);
    terminal.shows("shop/web  READY").await;
    way.switch_to(closed_port());
    terminal.shows("connection lost: ").await;
    env.deploy().await;
    way.switch_to(env.server.address());
    let screen = terminal.shows("AWAITING_PROMOTION").await;
    assert!(!screen.contains("connection lost: "), "{screen}");
}

#[tokio::test]
async fn it_ends_where_it_was_told_to() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let url = env.server.url();
    let until = [&WATCH[..], &["--until", "awaiting-promotion"]].concat();
    let terminal = Terminal::start(&url, &until);
    terminal.shows("shop/web  READY").await;
    env.deploy().await;
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 0, "{screen}");
    assert!(
        screen.contains("Next        viridian deployment promote shop/web"),
        "{screen}"
    );

    let short = [&WATCH[..], &["--until", "ready", "--timeout", "300ms"]].concat();
    let terminal = Terminal::start(&url, &short);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("is not ready: timed out"), "{screen}");

    let terminal = Terminal::start(&url, &["deployment", "watch", "nope/nope"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 64 + 5, "{screen}");

    let terminal = Terminal::start(&url, &[&WATCH[..], &["--plain"]].concat());
    terminal
        .shows("NOW          DEPLOYING / AWAITING_PROMOTION, blue 1/1")
        .await;
    env.promote().await;
    terminal.shows("PROMOTED     READY, blue 1/1").await;
    assert_eq!(env.get().await.lifecycle(), DeploymentLifecycle::Ready);
}
