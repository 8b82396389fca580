//! What is in `deploy/`. Neither Docker nor a cluster is here, so the files are
//! read, linted, and held against the program: it takes every variable that they
//! set, and is right with them.

use std::{collections::BTreeMap, fs, path::Path};

use rstest::rstest;
use serde_json::Value;
use tokio::process::Command;

use crate::harness::{Engine, FinishedProgram, TestDatabase, finish, root, tool, viridian};

#[rstest]
#[case::server("viridian.service", "serve")]
#[case::agent("viridian-agent.service", "agent")]
#[tokio::test]
async fn systemd_understands_the_units(#[case] name: &str, #[case] command: &str) {
    let unit = read(&format!("systemd/{name}"));
    let start = format!("ExecStart=/usr/local/bin/viridian {command}\n");
    assert!(unit.contains(&start), "{unit}");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let here = unit.replace("/usr/local/bin/viridian", env!("CARGO_BIN_EXE_viridian"));
    let file = folder.path().join(name);
    fs::write(&file, here).expect("a file");
    let run = systemd_analyze(&["verify", "--man=no"], &file).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert_eq!(run.stderr, "", "not a warning");
    // As its own scale has it: from 0, which is safe, to 10.
    let limit = if command == "serve" { "20" } else { "80" };
    let threshold = format!("--threshold={limit}");
    let run = systemd_analyze(&["security", "--offline=true", &threshold], &file).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    for (name, _) in environment_of_unit(&unit) {
        assert!(help(command).await.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn the_image_has_what_the_program_needs() {
    let text = read("docker/Dockerfile");
    for line in [
        "FROM gcr.io/distroless/cc-debian12:nonroot",
        "USER 65532:65532",
        "ENTRYPOINT [\"/usr/local/bin/viridian\"]",
        "CMD [\"serve\"]",
    ] {
        assert!(text.lines().any(|it| it == line), "{line}");
    }
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("Cargo.toml");
    let version = text.split_once("FROM rust:").expect("a toolchain").1;
    let version = &version[..version.find('-').expect("its release")];
    let wanted = format!("rust-version = \"{version}\"");
    assert!(manifest.contains(&wanted), "{wanted}");
    let sent = read("docker/Dockerfile.dockerignore");
    for kept in sent.lines().filter_map(|line| line.strip_prefix('!')) {
        assert!(root().join(kept).exists(), "{kept}");
    }

    // All that distroless' cc has.
    let mut command = Command::new("ldd");
    command
        .arg(env!("CARGO_BIN_EXE_viridian"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let needed = finish(command).await;
    assert_eq!(needed.code, Some(0), "{needed:?}");
    for line in needed.stdout.lines() {
        let known = ["linux-vdso", "libgcc_s", "libc.so", "libm.so", "/ld-linux"];
        let known = known.iter().any(|it| line.contains(it));
        assert!(known, "the image lacks {line}");
    }

    // Those of the image; the stage before it only builds.
    let (_, image) = text.rsplit_once("\nFROM ").expect("two stages");
    let variables = image
        .split(|it: char| it.is_whitespace())
        .filter_map(|word| word.split_once('='))
        .filter(|(name, _)| name.starts_with("VIRIDIAN_"));
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let mut variables: BTreeMap<_, _> = variables.collect();
    // Whoever starts it has to say what encrypts: the image must not, for it may have no tokens.
    let flag = ("VIRIDIAN_INSECURE".to_owned(), "true".to_owned());
    assert!(!variables.contains_key(&flag.0), "{variables:?}");
    variables.extend([flag]);
    is_right(variables).await;
}

#[tokio::test]
async fn the_servers_of_the_compose_file_are_told_what_they_take() {
    let file = yaml("docker/compose.yaml").remove(0);
    for name in ["server-1", "server-2"] {
        let service = &file["services"][name];
        assert_eq!(service["build"]["dockerfile"], "deploy/docker/Dockerfile");
        let context = root().join("deploy/docker").join("../..");
        assert!(context.join("deploy/docker/Dockerfile").exists());
        let on = &service["depends_on"]["postgres"]["condition"];
        assert_eq!(on, "service_healthy");
        let secret = service["secrets"][0].as_str().expect("a secret");
        assert!(file["secrets"][secret]["file"].is_string(), "{file}");
        let path = format!("/run/secrets/{secret}");
        assert_eq!(service["environment"]["VIRIDIAN_TOKENS"], path.as_str());
        let variables = service["environment"].as_object().expect("variables");
        let text = |it: &Value| it.as_str().expect("a text").to_owned();
        is_right(
            variables
                .iter()
                .map(|(name, value)| (name.clone(), text(value)))
                .collect(),
        )
        .await;
    }
    let ports = |name: &str| file["services"][name]["ports"][0].clone();
    assert_eq!(ports("server-1"), "127.0.0.1:50051:50051");
    assert_eq!(ports("server-2"), "127.0.0.1:50052:50051");
    let volume = file["services"]["postgres"]["volumes"][0].as_str();
    let volume = volume.and_then(|it| it.split(':').next()).expect("one");
    assert!(file["volumes"].get(volume).is_some(), "{file}");
}

#[tokio::test]
async fn the_pods_are_told_what_they_take_and_are_asked_how_they_are() {
    let all = yaml("kubernetes/viridian.yaml");
    let of = |kind: &str| {
        let mut found = all.iter().filter(|it| it["kind"] == kind);
        let one = found.next().expect(kind);
        assert!(found.next().is_none(), "one {kind}");
        assert_eq!(one["metadata"]["namespace"], "viridian");
        one
    };
    let deployment = of("Deployment");
    let labels = &deployment["spec"]["template"]["metadata"]["labels"];
    assert!(labels["app.kubernetes.io/name"].is_string(), "{labels}");
    assert_eq!(&deployment["spec"]["selector"]["matchLabels"], labels);
    let budget = &of("PodDisruptionBudget")["spec"];
    assert_eq!(&budget["selector"]["matchLabels"], labels);
    let least = budget["minAvailable"].as_i64().expect("a number");
    let replicas = deployment["spec"]["replicas"].as_i64().expect("a number");
    assert!(0 < least && least < replicas, "a node can be drained");
    assert_eq!(&of("Service")["spec"]["selector"], labels);

    let pod = &deployment["spec"]["template"]["spec"];
    let grace = pod["terminationGracePeriodSeconds"].as_i64();
    assert!(grace > Some(10), "it has 10 s to end");
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    let container = &pod["containers"][0];
    assert_eq!(container["args"][0], "serve");
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    let port = &container["ports"][0]["containerPort"];
    for probe in ["startupProbe", "readinessProbe", "livenessProbe"] {
        assert_eq!(&container[probe]["grpc"]["port"], port, "{probe}");
    }
    let asked = |probe: &str| container[probe]["grpc"]["service"].as_str();
    let ready = viridian_proto::v1::deployment_service_server::SERVICE_NAME;
    assert_eq!(asked("readinessProbe"), Some(ready));
    assert_eq!(
        asked("livenessProbe"),
        None,
        "it is not ended for its database"
    );
    let mount = &container["volumeMounts"][0];
    let mut volumes = pod["volumes"].as_array().expect("volumes").iter();
    let volume = volumes.find(|it| it["name"] == mount["name"]);
    let item = &volume.expect("what is mounted")["secret"]["items"][0];
    let path = |it: &Value| it.as_str().expect("a path").to_owned();
    let tokens = Path::new(&path(&mount["mountPath"])).join(path(&item["path"]));

    let variables = container["env"].as_array().expect("variables");
    let named = |it: &Value| {
        let name = it["name"].as_str().expect("a name").to_owned();
        let value = it["value"].as_str();
        (name, value.unwrap_or("from a secret").to_owned())
    };
    let variables: BTreeMap<_, _> = variables.iter().map(named).collect();
    assert_eq!(variables["VIRIDIAN_TOKENS"], tokens.display().to_string());
    assert!(variables["VIRIDIAN_LISTEN"].ends_with(&format!(":{port}")));
    is_right(variables).await;
}

/// Asserts that a server takes these variables, and that nothing is wrong with
/// them, but that its database and its credentials are elsewhere here.
async fn is_right(variables: BTreeMap<String, String>) {
    assert!(variables.contains_key("VIRIDIAN_DATABASE"), "{variables:?}");
    let help = help("serve").await;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let database = TestDatabase::create(Engine::Postgres).await;
    let tokens = folder.path().join("credentials.toml");
    let entry = "[[credential]]\nname = \"me\"\nroles = [\"operator\"]\nprojects = [\"*\"]\n";
    let entry = format!("{entry}token_sha256 = \"{}\"\n", "0".repeat(64));
    fs::write(&tokens, entry).expect("a file");
    let mut command = viridian(&["doctor"]);
    command.env("VIRIDIAN_TOKENS", &tokens);
    for (name, value) in &variables {
        assert!(help.contains(&format!("[env: {name}")), "{name} is unknown");
        match name.as_str() {
            "VIRIDIAN_DATABASE" => command.env(name, database.url()),
            "VIRIDIAN_TOKENS" => continue,
            _ => command.env(name, value),
        };
    }
    let run = finish(command).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    assert!(run.stdout.contains("1 caller in"), "{run:?}");
}

/// The variables that a unit sets itself.
fn environment_of_unit(unit: &str) -> Vec<(String, String)> {
    let lines = unit
        .lines()
        .filter_map(|it| it.strip_prefix("Environment="));
    let pairs = lines.map(|line| line.split_once('=').expect("NAME=VALUE"));
    let found: Vec<_> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    assert!(!found.is_empty(), "{unit}");
    found
}

async fn help(command: &str) -> String {
    let run = finish(viridian(&[command, "--help"])).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    run.stdout
}

async fn systemd_analyze(arguments: &[&str], file: &Path) -> FinishedProgram {
    let mut command = Command::new(tool("systemd-analyze"));
    command
        .args(arguments)
        .arg(file)
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .kill_on_drop(true);
    finish(command).await
}

fn yaml(file: &str) -> Vec<Value> {
    serde_saphyr::from_multiple(&read(file)).expect(file)
}

fn read(file: &str) -> String {
    fs::read_to_string(root().join("deploy").join(file)).expect(file)
}
