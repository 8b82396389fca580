//! What asks first, in a real terminal.

use viridian_proto::v1::{ActivateRevisionRequest, DeploymentLifecycle, DeploymentSubStep};

use crate::harness::{Engine, REFERENCE, Terminal, TestEnv, manual};

#[tokio::test]
async fn a_promotion_asks_and_names_its_revision() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let gate = env.at_gate(2, manual()).await;
    let promote = ["deployment", "promote", REFERENCE];
    let question = "Promote shop/web to revision 2 (registry.test/web:1)? 2 of 2 green routes";

    let terminal = Terminal::start(&env.server.url(), &promote);
    terminal.shows(question).await;
    terminal.press(&["Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("nothing was changed"), "{screen}");
    let now = env.get().await;
    assert_eq!(now.sub_step(), DeploymentSubStep::AwaitingPromotion);

    let terminal = Terminal::start(&env.server.url(), &promote);
    terminal.shows(question).await;
    terminal.press(&["y", "Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Gave traffic to 2 routes"), "{screen}");
    let now = env.get().await;
    assert_eq!(now.current_revision_id, gate.deploying_revision_id);
}

/// Between the question and the answer another revision came: not that one.
#[tokio::test]
async fn a_yes_is_to_the_revision_that_was_named() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.at_gate(1, manual()).await;
    let terminal = Terminal::start(&env.server.url(), &["deployment", "promote", REFERENCE]);
    terminal.shows("to revision 2 ").await;
    supersede(&env).await;
    terminal.press(&["y", "Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 64 + 10, "{screen}");
    assert!(screen.contains("REVISION_MISMATCH"), "{screen}");
    assert_ne!(env.get().await.lifecycle(), DeploymentLifecycle::Ready);
}

/// Deploys another revision in place of the one that is being deployed.
async fn supersede(env: &TestEnv) {
    let newer = env.api.create_revision(REFERENCE, false).await;
    let newer = newer.expect("it is created").revision.expect("a revision");
    let request = ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: newer.id,
        supersede: true,
        ..Default::default()
    };
    env.api.activate(request).await.expect("it is activated");
}

/// A no changes nothing; a yes is to what was named, whatever serves by then.
#[tokio::test]
async fn b2_a_roll_back_asks_and_is_of_what_was_named() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.at_gate(1, manual()).await;
    env.promote().await;
    let url = env.server.url();
    let rollback = ["deployment", "rollback", REFERENCE];
    let question = "Roll shop/web back from revision 2 (registry.test/web:1) to the revision";
    let before = env.get().await;
    let terminal = Terminal::start(&url, &rollback);
    terminal.shows(question).await;
    terminal.press(&["Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 1, "{screen}");
    assert_eq!(env.get().await.generation, before.generation);

    let terminal = Terminal::start(&url, &rollback);
    terminal.shows(question).await;
    env.bring_up().await;
    env.promote().await;
    assert_eq!(env.get().await.current_revision_number, 3);
    terminal.press(&["y", "Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 64 + 10, "{screen}");
    assert!(screen.contains("REVISION_MISMATCH"), "{screen}");
    assert_eq!(env.get().await.current_revision_number, 3);

    let terminal = Terminal::start(&url, &["deployment", "rollback", REFERENCE, "--yes"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 0, "{screen}");
}

/// In a rollout both verbs ask the same question.
#[tokio::test]
async fn b2_giving_a_rollout_up_asks_and_is_of_what_was_named() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    for (verb, number) in [("abort", 2), ("rollback", 4)] {
        env.bring_up().await;
        let terminal = Terminal::start(&env.server.url(), &["deployment", verb, REFERENCE]);
        let question = format!("Give up the rollout of revision {number} ");
        terminal.shows(&question).await;
        supersede(&env).await;
        terminal.press(&["y", "Enter"]);
        let (code, screen) = terminal.ended().await;
        assert_eq!(code, 64 + 10, "{verb}: {screen}");
        let now = env.get().await;
        assert_eq!(now.deploying_revision_number, number + 1, "{verb}");

        let terminal = Terminal::start(&env.server.url(), &["deployment", verb, REFERENCE]);
        terminal.shows("Give up the rollout of revision").await;
        terminal.press(&["y", "Enter"]);
        let (code, screen) = terminal.ended().await;
        assert_eq!(code, 0, "{verb}: {screen}");
        assert_eq!(env.ready().await.current_revision_number, 1, "{verb}");
    }
}

#[tokio::test]
async fn an_end_asks_and_a_script_does_not() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let url = env.server.url();
    let terminal = Terminal::start(&url, &["deployment", "delete", REFERENCE]);
    terminal
        .shows("Delete shop/web? It serves traffic with 1 route.")
        .await;
    terminal.press(&["n", "Enter"]);
    assert_eq!(terminal.ended().await.0, 1);
    assert_eq!(env.get().await.lifecycle(), DeploymentLifecycle::Ready);

    let terminal = Terminal::start(
        &url,
        &["deployment", "delete", REFERENCE, "--yes", "--wait"],
    );
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("DESTROYED"), "{screen}");
}

#[tokio::test]
async fn a_terminal_has_colours_unless_it_wants_none() {
    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let get = ["deployment", "get", REFERENCE];
    let terminal = Terminal::start(&env.server.url(), &get);
    terminal.ended().await;
    let screen = terminal.coloured_screen();
    assert!(screen.contains("\u{1b}[32mREADY"), "{screen:?}");

    let terminal = Terminal::plain(&env.server.url(), &get);
    terminal.ended().await;
    let screen = terminal.coloured_screen();
    assert!(
        screen.contains("READY") && !screen.contains("\u{1b}[32m"),
        "{screen:?}"
    );
}
