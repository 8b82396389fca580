//! A change of the contract that would break those who call it does not go
//! unnoticed.

use std::{fs, path::Path, process::Stdio};

use rstest::rstest;
use tokio::process::Command;

use crate::harness::{FinishedProgram, finish, root, tool};

#[tokio::test]
async fn the_contract_breaks_nobody() {
    let run = buf_breaking(&root()).await;
    assert_eq!(run.code, Some(0), "{run:?}");
}

#[rstest]
#[case::another_number("int64 sequence = 15;", "int64 sequence = 99;")]
#[case::another_name("int64 sequence = 15;", "int64 sequence_number = 15;")]
#[case::another_type("int64 sequence = 15;", "string sequence = 15;")]
#[case::removed("int64 sequence = 15;", "")]
#[case::presence_removed(MAX_REPLACEMENTS, MAX_REPLACEMENTS_ALWAYS)]
#[case::value_removed("DEPLOYMENT_LIFECYCLE_DESTROYED = 5;", "")]
#[tokio::test]
async fn a_change_that_breaks_someone_is_found(#[case] line: &str, #[case] doctored: &str) {
    let copy = tempfile::tempdir().expect("a temporary folder");
    fs::copy(root().join("buf.yaml"), copy.path().join("buf.yaml")).expect("copied");
    copy_folder(&root().join("proto"), &copy.path().join("proto"));
    let run = buf_breaking(copy.path()).await;
    assert_eq!(run.code, Some(0), "as it is: {run:?}");

    let file = copy
        .path()
        .join("proto/viridian/deployment/v1/deployment.proto");
    let text = fs::read_to_string(&file).expect("the contract");
    assert_eq!(text.matches(line).count(), 1, "{line}");
    fs::write(&file, text.replace(line, doctored)).expect("written");
    let run = buf_breaking(copy.path()).await;
    assert_eq!(run.code, Some(100), "{run:?}");
    assert!(run.stdout.contains("deployment.proto"), "{run:?}");
}

/// With the setting before it: two strategies have a setting of this name.
const MAX_REPLACEMENTS: &str = "\
  // How long all new routes must have been ready before anyone may promote.
  // Default 0.
  google.protobuf.Duration min_ready = 3;
  // How many failed new routes are replaced in one rollout. Unset: as many as
  // the target. 0: none.
  optional int32 max_replacements = 4;
";
const MAX_REPLACEMENTS_ALWAYS: &str = "\
  google.protobuf.Duration min_ready = 3;
  int32 max_replacements = 4;
";

async fn buf_breaking(folder: &Path) -> FinishedProgram {
    let mut command = Command::new(tool("buf"));
    command
        .args(["breaking", "--against", "proto/baseline.binpb"])
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    finish(command).await
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir(to).expect("a new folder");
    for entry in fs::read_dir(from).expect("a folder") {
        let entry = entry.expect("an entry");
        let target = to.join(entry.file_name());
        if entry.file_type().expect("its type").is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            fs::copy(entry.path(), target).expect("copied");
        }
    }
}
