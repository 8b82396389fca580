//! `viridian descriptor-set` is enough to call a server: no sources, no
//! reflection.

use std::{fs, process::Stdio};

use tokio::process::Command;

use crate::harness::{Engine, REFERENCE, TestEnv, manual, tool, viridian, within};

#[tokio::test]
async fn is_all_that_a_tool_needs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("viridian.binpb");
    let mut command = viridian(&["descriptor-set"]);
    let output = within("the descriptor set", command.output()).await;
    let output = output.expect("the program can be started");
    assert!(output.status.success(), "{output:?}");
    fs::write(&file, output.stdout).expect("written");

    let env = TestEnv::start(Engine::Sqlite).await;
    env.serving(1, manual()).await;
    let mut command = Command::new(tool("grpcurl"));
    command
        .args(["-plaintext", "-use-reflection=false", "-protoset"])
        .arg(&file)
        .args(["-d", &format!(r#"{{"deployment":"{REFERENCE}"}}"#)])
        .arg(env.server.address().to_string())
        .arg("viridian.deployment.v1.DeploymentService/PromoteDeployment")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let run = crate::harness::finish(command).await;
    assert_eq!(run.code, Some(64 + 9), "{run:?}");
    // It decodes error details only with their types at hand.
    let text = run.stderr.replace([' ', '\n'], "");
    assert!(text.contains("\"reason\":\"NOT_DEPLOYING\""), "{run:?}");
}
