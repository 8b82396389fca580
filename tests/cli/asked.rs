//! What asks first, in a real terminal.

use viridian_proto::v1::{DeploymentLifecycle, DeploymentSubStep};

use crate::harness::{Engine, REFERENCE, Terminal, World, manual};

#[tokio::test]
async fn a_promotion_asks_and_names_its_revision() {
    let world = World::start(Engine::Sqlite).await;
    let gate = world.at_gate(2, manual()).await;
    let promote = ["deployment", "promote", REFERENCE];
    let question = "Promote shop/web to revision 2 (registry.test/web:1)? 2 of 2 green routes";

    let terminal = Terminal::start(&world.server.url(), &promote);
    terminal.shows(question).await;
    terminal.press(&["Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("nothing was changed"), "{screen}");
    let now = world.get().await;
    assert_eq!(now.sub_step(), DeploymentSubStep::AwaitingPromotion);

    let terminal = Terminal::start(&world.server.url(), &promote);
    terminal.shows(question).await;
    terminal.press(&["y", "Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("Gave traffic to 2 routes"), "{screen}");
    let now = world.get().await;
    assert_eq!(now.current_revision_id, gate.deploying_revision_id);
}

/// Between the question and the answer another revision came: not that one.
#[tokio::test]
async fn a_yes_is_to_the_revision_that_was_named() {
    let world = World::start(Engine::Sqlite).await;
    world.at_gate(1, manual()).await;
    let terminal = Terminal::start(&world.server.url(), &["deployment", "promote", REFERENCE]);
    terminal.shows("to revision 2 ").await;
    let newer = world.api.create_revision(REFERENCE, false).await;
    let newer = newer.expect("it is created").revision.expect("a revision");
    let supersede = viridian_proto::v1::ActivateRevisionRequest {
        deployment: REFERENCE.to_owned(),
        revision: newer.id,
        supersede: true,
        ..Default::default()
    };
    world
        .api
        .activate(supersede)
        .await
        .expect("it is activated");
    terminal.press(&["y", "Enter"]);
    let (code, screen) = terminal.ended().await;
    assert_eq!(code, 64 + 10, "{screen}");
    assert!(screen.contains("REVISION_MISMATCH"), "{screen}");
    assert_ne!(world.get().await.lifecycle(), DeploymentLifecycle::Ready);
}

#[tokio::test]
async fn an_end_asks_and_a_script_does_not() {
    let world = World::start(Engine::Sqlite).await;
    world.serving(1, manual()).await;
    let url = world.server.url();
    let terminal = Terminal::start(&url, &["deployment", "delete", REFERENCE]);
    terminal
        .shows("Delete shop/web? It serves traffic with 1 route.")
        .await;
    terminal.press(&["n", "Enter"]);
    assert_eq!(terminal.ended().await.0, 1);
    assert_eq!(world.get().await.lifecycle(), DeploymentLifecycle::Ready);

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
    let world = World::start(Engine::Sqlite).await;
    world.serving(1, manual()).await;
    let get = ["deployment", "get", REFERENCE];
    let terminal = Terminal::start(&world.server.url(), &get);
    terminal.ended().await;
    let screen = terminal.coloured_screen();
    assert!(screen.contains("\u{1b}[32mREADY"), "{screen:?}");

    let terminal = Terminal::plain(&world.server.url(), &get);
    terminal.ended().await;
    let screen = terminal.coloured_screen();
    assert!(
        screen.contains("READY") && !screen.contains("\u{1b}[32m"),
        "{screen:?}"
    );
}
