//! The example clients, made and run as their READMEs say, against real servers,
//! with a real agent. In the middle their connections are cut.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader},
    process::Command,
    sync::OnceCell,
};

use crate::{
    engines::both_engines,
    harness::{CuttableProxy, Engine, Server, root, tool, viridian, within},
    languages,
};

#[apply(both_engines)]
#[tokio::test]
async fn python(#[case] engine: Engine) {
    let generated = PYTHON.get_or_init(make_python).await;
    let mut command = Command::new(python_program());
    command
        .arg(root().join("clients/python/example.py"))
        .env("PYTHONPATH", generated);
    tells_the_story(engine, command).await;
}

#[apply(both_engines)]
#[tokio::test]
async fn typescript(#[case] engine: Engine) {
    let built = TYPESCRIPT.get_or_init(make_typescript).await;
    let mut command = Command::new(tool("node"));
    command.arg(built.join("build/example.js"));
    tells_the_story(engine, command).await;
}

#[apply(both_engines)]
#[tokio::test]
async fn go(#[case] engine: Engine) {
    tells_the_story(engine, languages::go_client().await).await;
}

#[apply(both_engines)]
#[tokio::test]
async fn java(#[case] engine: Engine) {
    tells_the_story(engine, languages::java_client().await).await;
}

/// Runs an example from start to end, and cuts its connections in between.
async fn tells_the_story(engine: Engine, mut example: Command) {
    let server = Server::start(engine).await;
    let proxy = CuttableProxy::to(server.address()).await;
    let state = tempfile::tempdir().expect("a temporary folder");
    let mut agent = viridian(&["agent", "--server", &server.url()]);
    let _agent = agent
        .env("VIRIDIAN_STATE_DIR", state.path())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the agent can be started");

    example
        .args(["--server", &proxy.address().to_string(), "shop/web"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut example = example.spawn().expect("the example can be started");
    let mut lines = BufReader::new(example.stdout.take().expect("a pipe")).lines();
    let mut stderr = example.stderr.take().expect("a pipe");
    let log = tokio::spawn(async move {
        let mut log = String::new();
        stderr.read_to_string(&mut log).await.expect("UTF-8");
        log
    });
    let mut story = Vec::new();
    let reading = async {
        while let Some(line) = lines.next_line().await.expect("UTF-8") {
            if line == "READY with revision 1" {
                assert!(proxy.cut() > 0, "it is connected");
            }
            story.push(line);
        }
    };
    within("the end of the example", reading).await;
    let status = within("its exit", example.wait()).await.expect("it ends");
    let log = within("its log", log).await.expect("it is read");
    assert!(status.success(), "{story:#?}\n{log}");
    let mut told: Vec<_> = story.iter().map(|line| told(line)).collect();
    told.dedup();
    assert_eq!(told, STORY, "{log}");
    assert!(log.contains("the watch ended ("), "it was cut:\n{log}");
    let sequences: Vec<i64> = log.lines().filter_map(sequence).collect();
    let gapless = sequences.windows(2).all(|pair| pair[0] + 1 == pair[1]);
    assert!(gapless, "each change once, in order:\n{log}");
}

/// A line without what differs from run to run. There is one for each blocker.
fn told(line: &str) -> &str {
    match line.split_once("_id: ") {
        Some((what, _)) => what,
        None if line.starts_with("  GREEN_") => "  GREEN",
        None => line,
    }
}

/// The sequence in a line like "#7 READY".
fn sequence(line: &str) -> Option<i64> {
    line.strip_prefix('#')?.split(' ').next()?.parse().ok()
}

async fn make_python() -> PathBuf {
    let folder = empty_folder("python");
    let mut command = Command::new(python_program());
    command
        .args(["-m", "grpc_tools.protoc", "-I"])
        .arg(root().join("proto"))
        .arg("--python_out")
        .arg(&folder)
        .arg("--grpc_python_out")
        .arg(&folder);
    let contract = fs::read_dir(root().join("proto/viridian/deployment/v1"));
    for file in contract.expect("the contract") {
        command.arg(file.expect("a file").path());
    }
    run_in(&folder, &mut command).await;
    folder
}

/// In a copy, so that nothing is left in the sources.
async fn make_typescript() -> PathBuf {
    let folder = empty_folder("typescript");
    let sources = root().join("clients/typescript");
    for name in [
        "buf.gen.yaml",
        "example.ts",
        "package.json",
        "tsconfig.json",
    ] {
        fs::copy(sources.join(name), folder.join(name)).expect(name);
    }
    let imports = root().join("target/tools/typescript/node_modules");
    assert!(imports.is_dir(), "{MISSING}");
    std::os::unix::fs::symlink(imports, folder.join("node_modules")).expect("a link");

    let descriptors = run_in(&folder, &mut viridian(&["descriptor-set"])).await;
    fs::write(folder.join("viridian.binpb"), descriptors).expect("written");
    let mut generate = Command::new(tool("buf"));
    run_in(&folder, generate.args(["generate", "viridian.binpb"])).await;
    let mut compile = Command::new(tool("node"));
    run_in(&folder, compile.arg("node_modules/typescript/bin/tsc")).await;
    folder
}

fn python_program() -> PathBuf {
    let program = root().join("target/tools/python/bin/python");
    assert!(program.is_file(), "{MISSING}");
    program
}

fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"))
        .join("clients")
        .join(name);
    // It may be there from the run before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a new folder");
    folder
}

/// Gives what it writes to stdout.
async fn run_in(folder: &Path, command: &mut Command) -> Vec<u8> {
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = within("the end of a step", command.output()).await;
    let output = output.expect("it can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

static PYTHON: OnceCell<PathBuf> = OnceCell::const_new();
static TYPESCRIPT: OnceCell<PathBuf> = OnceCell::const_new();

const MISSING: &str = "what the clients import is not there, and their tests are never skipped: \
                       run scripts/install-tools";

const STORY: [&str; 19] = [
    "created shop/web",
    "READY with revision 1",
    "activated revision 2 once",
    "refused: FAILED_PRECONDITION PROMOTION_BLOCKED",
    "  GREEN",
    "all of revision 2 is ready, and waits for its promotion",
    "refused: ABORTED REVISION_MISMATCH",
    "  deploying_revision",
    "  deploying_revision_number: 2",
    "  expected_revision",
    "refused: ABORTED GENERATION_MISMATCH",
    "  expected_generation: 1",
    "  generation: 2",
    "promoted 2 routes",
    "refused: INVALID_ARGUMENT INVALID_FIELD",
    "  target_replicas: must be 0 to 1000",
    "  revision_history_limit: must be 1 to 1000",
    "history: CREATE, ACTIVATE, PROMOTE",
    "deleted",
];
