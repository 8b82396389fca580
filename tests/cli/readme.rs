//! The three commands of the README, as they stand there, are enough.

use std::fs;

use crate::harness::{Engine, REFERENCE, TestEnv, finish, manual, root, viridian};

#[tokio::test]
async fn three_commands_say_why_it_waits_and_promote_it() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let gate = env.at_gate(2, manual()).await;
    let lines = commands();
    assert_eq!(lines.len(), 3, "{lines:?}");
    let mut told = Vec::new();
    for line in &lines {
        let arguments: Vec<_> = line.split_whitespace().skip(1).collect();
        let mut command = viridian(&arguments);
        command.env("VIRIDIAN_SERVER", env.server.url());
        let run = finish(command).await;
        assert_eq!(run.code, Some(0), "{line}: {run:?}");
        told.push(run.stdout);
    }
    assert!(told[0].contains(REFERENCE), "{told:?}");
    for output in &told[..2] {
        assert!(
            output.contains("waiting for someone to promote"),
            "{output}"
        );
    }
    // The second one names the third.
    assert!(
        told[1].contains(&format!("Next        {}\n", lines[2])),
        "{}",
        told[1]
    );
    let now = env.get().await;
    assert_eq!(now.current_revision_id, gate.deploying_revision_id);
}

/// The commands of the README's section about it, for the deployment of the tests.
fn commands() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).expect("the README");
    let (_, section) = readme
        .split_once("## Why is my rollout stuck?")
        .expect("the section");
    let (_, block) = section.split_once("```sh\n").expect("a block");
    let (block, _) = block.split_once("```").expect("its end");
    let command = |line: &str| {
        let (command, _) = line.split_once('#').unwrap_or((line, ""));
        command.trim().replace("demo/files", REFERENCE)
    };
    block.lines().map(command).collect()
}
