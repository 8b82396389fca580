//! The contract in languages that have no example client: protoc generates code from
//! the `.proto` files as they are, and Go's and Java's compilers accept it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use prost::Message as _;
use prost_types::{FileDescriptorSet, FileOptions};
use rstest::rstest;
use tokio::process::Command;

use crate::harness::{root, tool};

#[tokio::test]
async fn d8_go_is_generated_as_the_document_says_and_compiles() {
    let folder = empty_folder("go");
    let sources = folder.join("src");
    fs::create_dir(&sources).expect("a new folder");
    for plugin in ["go", "go-grpc"] {
        generate(&sources, &[format!("--{plugin}_out={}", sources.display())]).await;
    }
    let package = sources.join(GO_PACKAGE);
    assert_eq!(
        files_in(&package, "go").len(),
        11,
        "seven files, four services"
    );
    let mut vet = Command::new(tool("go"));
    // Where Debian puts the imports. Compiled packages are kept from run to run.
    vet.args(["vet", GO_PACKAGE])
        .env("GO111MODULE", "off")
        .env("GOPATH", format!("{}:/usr/share/gocode", folder.display()))
        .env("GOCACHE", scratch().join("go-cache"));
    run_in(&folder, &mut vet).await;
}

#[tokio::test]
async fn d8_java_is_one_class_a_message_and_compiles() {
    let folder = empty_folder("java");
    let out = |plugin| format!("--{plugin}_out={}", folder.display());
    let grpc = tool("grpc_java_plugin");
    let plugin = format!("--plugin=protoc-gen-grpc-java={}", grpc.display());
    generate(&folder, &[out("java"), plugin, out("grpc-java")]).await;
    let classes = files_in(&folder.join("com/viridian/deployment/v1"), "java");
    for class in ["Deployment", "CreateDeploymentRequest", "RouteServiceGrpc"] {
        let found = classes
            .iter()
            .any(|file| file.file_stem() == Some(class.as_ref()));
        assert!(found, "{class}: {classes:?}");
    }
    let libraries = JAVA_LIBRARIES.map(|name| format!("/usr/share/java/{name}.jar"));
    let mut compile = Command::new(tool("javac"));
    compile.args(["-d", "classes", "-cp", &libraries.join(":")]);
    run_in(&folder, compile.args(classes)).await;
    assert!(
        folder
            .join("classes/com/viridian/deployment/v1/Deployment.class")
            .is_file()
    );
}

#[rstest]
#[case::c_sharp("csharp", "DeploymentService.cs")]
#[case::php("php", "Viridian/Deployment/V1/Deployment.php")]
#[case::ruby("ruby", "viridian/deployment/v1/deployment_pb.rb")]
#[case::objective_c("objc", "viridian/deployment/v1/Deployment.pbobjc.h")]
#[tokio::test]
async fn d8_other_languages_are_generated_under_their_own_names(
    #[case] language: &str,
    #[case] file: &str,
) {
    let folder = empty_folder(language);
    generate(&folder, &[format!("--{language}_out={}", folder.display())]).await;
    let text = fs::read_to_string(folder.join(file)).expect(file);
    let name = match language {
        "csharp" => "namespace Viridian.Deployment.V1",
        "php" => "namespace Viridian\\Deployment\\V1",
        "ruby" => "module Viridian",
        _ => "@interface VDXDeployment",
    };
    assert!(text.contains(name), "{name}:\n{text}");
}

#[test]
fn d8_every_file_says_where_its_code_goes() {
    let set = FileDescriptorSet::decode(viridian_proto::FILE_DESCRIPTOR_SET).expect("descriptors");
    let ours = |name: &str| name.starts_with("viridian/");
    let mut outer_classes = Vec::new();
    for file in set.file.iter().filter(|file| ours(file.name())) {
        let options = file.options.clone().unwrap_or_default();
        outer_classes.push(options.java_outer_classname.clone());
        let expected = FileOptions {
            csharp_namespace: Some("Viridian.Deployment.V1".to_owned()),
            go_package: Some(format!("{GO_PACKAGE};deploymentv1")),
            java_multiple_files: Some(true),
            java_outer_classname: options.java_outer_classname.clone(),
            java_package: Some("com.viridian.deployment.v1".to_owned()),
            objc_class_prefix: Some("VDX".to_owned()),
            php_metadata_namespace: Some("Viridian\\Deployment\\V1\\GPBMetadata".to_owned()),
            php_namespace: Some("Viridian\\Deployment\\V1".to_owned()),
            ruby_package: Some("Viridian::Deployment::V1".to_owned()),
            ..FileOptions::default()
        };
        assert_eq!(options, expected, "{}", file.name());
    }
    let count = outer_classes.len();
    outer_classes.sort();
    outer_classes.dedup();
    assert!(!outer_classes.contains(&None));
    assert_eq!(
        outer_classes.len(),
        count,
        "two files must not share a class"
    );
}

/// Runs protoc on all files of the contract.
async fn generate(folder: &Path, arguments: &[String]) {
    let mut protoc = Command::new(tool("protoc"));
    protoc.arg("-I").arg(root().join("proto")).args(arguments);
    let contract = root().join("proto/viridian/deployment/v1");
    run_in(folder, protoc.args(files_in(&contract, "proto"))).await;
}

/// The files with an extension, in order.
fn files_in(folder: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{folder:?}: {error}"));
    let mut files: Vec<_> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| file.extension() == Some(extension.as_ref()))
        .collect();
    files.sort();
    files
}

fn empty_folder(name: &str) -> PathBuf {
    let folder = scratch().join(name);
    // It may be there from the run before.
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a new folder");
    folder
}

fn scratch() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("languages")
}

/// Without a timeout: a compiler of a fresh machine takes its time, and ends.
async fn run_in(folder: &Path, command: &mut Command) {
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.expect("it can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
}

const GO_PACKAGE: &str = "viridian.example/gen/viridian/deployment/v1";

/// As Debian names them.
const JAVA_LIBRARIES: [&str; 6] = [
    "protobuf",
    "grpc-api",
    "grpc-stub",
    "grpc-protobuf",
    "guava",
    "geronimo-annotation-1.3-spec",
];
