//! The contract in other languages: protoc generates code from the `.proto` files as they
//! are. Go's and Java's compilers accept it together with the example clients.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};

use prost::Message as _;
use prost_types::{FileDescriptorSet, FileOptions};
use rstest::rstest;
use tokio::{process::Command, sync::OnceCell};

use crate::harness::{root, tool, viridian};

#[tokio::test]
async fn d8_go_is_generated_as_the_document_says_and_compiles() {
    go_client().await;
    let package = scratch().join("go/src").join(GO_PACKAGE);
    assert_eq!(
        files_in(&package, "go").len(),
        11,
        "seven files, four services"
    );
}

#[tokio::test]
async fn d8_java_is_one_class_a_message_and_compiles() {
    java_client().await;
    let classes = files_in(&scratch().join("java/com/viridian/deployment/v1"), "java");
    for class in ["Deployment", "CreateDeploymentRequest", "RouteServiceGrpc"] {
        let found = classes
            .iter()
            .any(|file| file.file_stem() == Some(class.as_ref()));
        assert!(found, "{class}: {classes:?}");
    }
}

/// The example client in Go, with generated code.
pub(crate) async fn go_client() -> Command {
    GO.get_or_init(make_go).await;
    Command::new(scratch().join("go/client"))
}

/// The example client in Java, with generated code.
pub(crate) async fn java_client() -> Command {
    JAVA.get_or_init(make_java).await;
    let mut command = Command::new(tool("java"));
    command.arg("-cp").arg(format!(
        "{}:{}",
        scratch().join("java/classes").display(),
        java_libraries()
    ));
    command.arg("Example");
    command
}

async fn make_go() {
    let folder = empty_folder("go");
    let sources = folder.join("src");
    let example = sources.join(GO_EXAMPLE);
    fs::create_dir_all(&example).expect("a new folder");
    fs::copy(
        root().join("clients/go/example.go"),
        example.join("example.go"),
    )
    .expect("a copy");
    for plugin in ["go", "go-grpc"] {
        generate(&sources, &[format!("--{plugin}_out={}", sources.display())]).await;
    }
    let go = |arguments: &[&str]| {
        let mut go = Command::new(tool("go"));
        // Where Debian puts the imports. Compiled packages are kept from run to run.
        go.args(arguments)
            .env("GO111MODULE", "off")
            .env("GOPATH", format!("{}:/usr/share/gocode", folder.display()))
            .env("GOCACHE", scratch().join("go-cache"));
        go
    };
    run_in(&folder, &mut go(&["vet", GO_PACKAGE, GO_EXAMPLE])).await;
    run_in(&folder, &mut go(&["build", "-o", "client", GO_EXAMPLE])).await;
}

async fn make_java() {
    let folder = empty_folder("java");
    let out = |plugin| format!("--{plugin}_out={}", folder.display());
    let grpc = tool("grpc_java_plugin");
    let plugin = format!("--plugin=protoc-gen-grpc-java={}", grpc.display());
    generate(&folder, &[out("java"), plugin, out("grpc-java")]).await;
    // Debian's package of the details is older than ErrorInfo; the program has their types.
    let set = run_in(&folder, &mut viridian(&["descriptor-set"])).await;
    fs::write(folder.join("viridian.binpb"), set).expect("written");
    let mut protoc = Command::new(tool("protoc"));
    protoc.args([
        "--descriptor_set_in=viridian.binpb",
        "--java_out=.",
        "google/rpc/error_details.proto",
    ]);
    run_in(&folder, &mut protoc).await;
    let mut compile = Command::new(tool("javac"));
    compile.args(["-d", "classes", "-cp", &java_libraries()]);
    for package in ["com/viridian/deployment/v1", "com/google/rpc"] {
        compile.args(files_in(&folder.join(package), "java"));
    }
    compile.arg(root().join("clients/java/Example.java"));
    run_in(&folder, &mut compile).await;
}

fn java_libraries() -> String {
    JAVA_LIBRARIES
        .map(|name| format!("/usr/share/java/{name}.jar"))
        .join(":")
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

/// Gives what it writes to stdout. Without a timeout: a compiler of a fresh machine takes its
/// time, and ends.
async fn run_in(folder: &Path, command: &mut Command) -> Vec<u8> {
    command
        .current_dir(folder)
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let output = command.output().await.expect("it can be started");
    assert!(output.status.success(), "{command:?}: {output:?}");
    output.stdout
}

static GO: OnceCell<()> = OnceCell::const_new();
static JAVA: OnceCell<()> = OnceCell::const_new();

const GO_PACKAGE: &str = "viridian.example/gen/viridian/deployment/v1";
const GO_EXAMPLE: &str = "viridian.example/example";

/// As Debian names them.
const JAVA_LIBRARIES: [&str; 22] = [
    "protobuf",
    "grpc-api",
    "grpc-core",
    "grpc-context",
    "grpc-netty",
    "grpc-stub",
    "grpc-protobuf",
    "grpc-protobuf-lite",
    "guava",
    "gson",
    "perfmark-api",
    "proto-google-common-protos",
    "geronimo-annotation-1.3-spec",
    "netty-buffer",
    "netty-codec",
    "netty-codec-http",
    "netty-codec-http2",
    "netty-common",
    "netty-handler",
    "netty-resolver",
    "netty-transport",
    "netty-transport-native-unix-common",
];
