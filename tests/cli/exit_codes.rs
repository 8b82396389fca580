//! Exit codes, of every verb: 0, 2 for bad usage, 64 and the gRPC code.

use viridian_proto::v1::Deployment;

use super::deployment;
use crate::harness::{Engine, REFERENCE, TestEnv, closed_port, finish, manual, root, viridian};

/// Every verb that is about one deployment, with what it needs besides.
const VERBS: [(&str, &[&str]); 20] = [
    ("abort", &[]),
    ("activate", &["--image", "i"]),
    ("advance", &[]),
    ("delete", &[]),
    ("export", &[]),
    ("get", &[]),
    ("history", &[]),
    ("pause", &[]),
    ("promote", &[]),
    ("restart", &[]),
    ("resume", &[]),
    ("revisions", &[]),
    ("rollback", &[]),
    ("routes", &[]),
    ("scale", &["2"]),
    ("status", &[]),
    ("traffic", &[]),
    ("update", &["--replicas", "2"]),
    ("watch", &["--until", "ready"]),
    // Not about one that there is.
    ("create", &["--image", "i"]),
];

fn line<'a>(verb: &'a str, reference: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&[verb, reference], rest].concat()
}

#[tokio::test]
async fn no_verb_is_missing_here() {
    let run = finish(viridian(&["deployment", "help"])).await;
    let (_, commands) = run.stdout.split_once("Commands:").expect("the commands");
    let (commands, _) = commands.split_once("Options:").expect("the options");
    let mut there: Vec<_> = commands
        .lines()
        .filter(|line| line.starts_with("  ") && !line.starts_with("   "))
        .filter_map(|line| line.split_whitespace().next())
        .filter(|verb| *verb != "help")
        .collect();
    there.sort_unstable();
    let mut here: Vec<_> = VERBS.iter().map(|(verb, _)| *verb).collect();
    // About files, several, and a route.
    here.extend(["apply", "list", "drain"]);
    here.sort_unstable();
    assert_eq!(there, here);
}

#[tokio::test]
async fn bad_usage_is_2() {
    for (verb, _) in VERBS {
        for rest in [&["--sideways"][..], &["-o", "xml"]] {
            let mut arguments = vec!["deployment"];
            arguments.extend(line(verb, REFERENCE, rest));
            let run = finish(viridian(&arguments)).await;
            assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
        }
    }
    for arguments in [
        &["deployment", "list", "--sideways"][..],
        &["deployment", "apply"],
        &["deployment", "apply", "-f", "missing/file.yaml"],
        &["top", "--sideways"],
    ] {
        let run = finish(viridian(arguments)).await;
        assert_eq!(run.code, Some(2), "{arguments:?}: {run:?}");
    }
}

#[tokio::test]
async fn what_is_not_there_is_69_and_says_how_to_find_what_is() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    for (verb, rest) in VERBS.iter().filter(|(verb, _)| *verb != "create") {
        let run = deployment(&url, &line(verb, "nope/nope", rest)).await;
        assert_eq!(run.code, Some(64 + 5), "{verb}: {run:?}");
        assert_eq!(
            run.stderr,
            "error: there is no deployment nope/nope; `viridian deployment list` shows the \
             existing ones (NOT_FOUND, DEPLOYMENT_NOT_FOUND)\n",
            "{verb}"
        );
        assert_eq!(run.stdout, "");
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_78() {
    let url = format!("http://{}", closed_port());
    let mut lines: Vec<_> = VERBS
        .iter()
        .map(|(verb, rest)| line(verb, REFERENCE, rest))
        .collect();
    let example = root().join("docs/deployment.yaml").display().to_string();
    lines.extend([vec!["list"], vec!["apply", "-f", &example]]);
    for arguments in lines {
        let run = deployment(&url, &arguments).await;
        assert_eq!(run.code, Some(64 + 14), "{arguments:?}: {run:?}");
        assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
        assert!(run.stderr.contains("--server"), "{run:?}");
    }
    let top = finish(viridian(&["top", "--server", &url])).await;
    assert_eq!(top.code, Some(64 + 14), "{top:?}");
}

#[tokio::test]
async fn what_cannot_be_done_now_is_73_and_says_what_to_do() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    for (arguments, code, text) in [
        (
            &["promote", REFERENCE][..],
            9,
            "viridian deployment history shop/web",
        ),
        (&["abort", REFERENCE], 9, "NOT_DEPLOYING"),
        (&["resume", REFERENCE], 9, "NOT_PAUSED"),
        (
            &["rollback", REFERENCE],
            9,
            "viridian deployment revisions shop/web",
        ),
        (
            &["activate", REFERENCE, "--revision", "1"],
            9,
            "ALREADY_CURRENT",
        ),
        (
            &["activate", REFERENCE, "--revision", "7"],
            5,
            "viridian deployment revisions",
        ),
        (
            &["rollback", REFERENCE, "--revision", "7"],
            5,
            "REVISION_NOT_FOUND",
        ),
        (
            &["routes", REFERENCE, "--revision", "7"],
            5,
            "REVISION_NOT_FOUND",
        ),
        (
            &["create", REFERENCE, "--image", "i"],
            6,
            "viridian deployment update shop/web",
        ),
        (
            &["update", REFERENCE, "--replicas", "9999"],
            3,
            "target_replicas",
        ),
        (&["get", "nope"], 3, "INVALID_FIELD"),
    ] {
        let run = deployment(&url, arguments).await;
        assert_eq!(run.code, Some(64 + code), "{arguments:?}: {run:?}");
        assert!(run.stderr.contains(text), "{arguments:?}: {run:?}");
        assert!(run.stderr.starts_with("error: "), "{run:?}");
    }
    let run = deployment(&url, &["update", REFERENCE]).await;
    assert_eq!(run.code, Some(2), "{run:?}");
}

#[tokio::test]
async fn every_change_with_another_generation_is_74() {
    let env = TestEnv::start(Engine::Sqlite).await;
    let url = env.server.url();
    env.serving(1, manual()).await;
    let reading = [
        "export",
        "get",
        "history",
        "revisions",
        "routes",
        "status",
        "traffic",
        "watch",
    ];
    let changing = VERBS
        .iter()
        .filter(|(verb, _)| *verb != "create" && !reading.contains(verb));
    let before: Deployment = env.get().await;
    for (verb, rest) in changing {
        let guard = ["--expected-generation", "99"];
        let run = deployment(
            &url,
            &[line(verb, REFERENCE, rest), guard.to_vec()].concat(),
        )
        .await;
        assert_eq!(run.code, Some(64 + 10), "{verb}: {run:?}");
        assert!(
            run.stderr.contains("viridian deployment get shop/web"),
            "{run:?}"
        );
    }
    assert_eq!(env.get().await, before);
}
