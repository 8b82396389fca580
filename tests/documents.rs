//! Every command in the documents, run as it stands there: against a real server,
//! with a real agent.
//!
//! A block of a document that begins with `sh` is run, in order. Its info string
//! can say more:
//!
//! - `sh exits=73`: it ends with this code.
//! - `sh stays`: its last command goes on, in a terminal of its own. Another server
//!   on the same port, or another agent, is started once it was ended.
//! - `sh not-run: WHY`: nobody runs it here.
//! - `text output`: the block before prints these lines, in this order; `…` is for
//!   what differs from one time to the next.

mod document_env;
pub(crate) mod fence;
mod output;
mod reader;

use std::{
    fs,
    path::{Path, PathBuf},
};

use self::{
    document_env::DocumentEnv,
    fence::{Fence, Kind, fences, parse},
    reader::Reader,
};
use crate::{api_document, harness::root};

/// A test for each document with commands, and the list of these.
macro_rules! documents {
    ($($name:ident: $path:literal by $run:path;)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $run($path).await;
            }
        )*

        const DOCUMENTS: &[&str] = &[$($path),*];
    };
}

documents! {
    readme: "README.md" by on_postgres_too;
    api: "docs/api.md" by api_document::run;
    cli: "docs/cli.md" by with_a_server;
    operations: "docs/operations.md" by on_postgres;
    security: "docs/security.md" by with_credentials;
    storage: "docs/storage.md" by on_two_databases;
    tutorial: "docs/tutorial.md" by alone;
}

#[test]
fn no_document_has_commands_that_nobody_runs() {
    let mut found = Vec::new();
    collect(&root(), &mut found);
    assert!(found.iter().any(|it| it == Path::new("README.md")));
    for document in found {
        let document = document.to_str().expect("UTF-8");
        let is_run = |it: &Fence| matches!(it.kind, Kind::Run { .. } | Kind::Stay);
        if fences(document).iter().any(is_run) {
            assert!(
                DOCUMENTS.contains(&document),
                "{document} has commands, and is not in the list in tests/documents.rs"
            );
        }
    }
}

/// A document that needs nothing that it does not say.
async fn alone(document: &str) {
    follow(document, DocumentEnv::new(), "").await;
}

/// A server runs already.
async fn with_a_server(document: &str) {
    let before = "```sh stays\nviridian serve --database sqlite:viridian.db\n```\n";
    follow(document, DocumentEnv::new(), before).await;
}

async fn on_postgres(document: &str) {
    follow(document, DocumentEnv::new().with_postgres().await, "").await;
}

async fn on_postgres_too(document: &str) {
    let env = DocumentEnv::new().with_postgres().await;
    // What its last command reads.
    let before = format!(
        "```sh\n{}viridian token --name o --role operator --project '*' -o json |\n\
         python3 -c 'import json, sys; print(json.load(sys.stdin)[\"entry\"])' \
         >credentials.toml\n```\n",
        certificates()
    );
    follow(document, env, &before).await;
}

/// A server's file and a database of another one are there.
async fn on_two_databases(document: &str) {
    let before = "```sh stays\nviridian serve --database \"$URL\"\n```\n\
                  ```sh stays\nviridian serve --database sqlite:viridian.db\n```\n\
                  ```sh\nviridian deployment create shop/web --image web:1\n```\n";
    let env = DocumentEnv::new().with_postgres().await;
    let mut reader = follow(document, env, before).await;
    let after = "```sh\npsql -c 'DROP DATABASE viridian_before WITH (FORCE)'\n```\n";
    reader.follow(&parse("after", after)).await;
}

/// The files that the document's first command reads are those that it shows how
/// to make.
async fn with_credentials(document: &str) {
    let mut env = DocumentEnv::new();
    let etc = env.file("etc/viridian");
    env.say("/etc/viridian", etc.display().to_string());
    env.say("viridian.example.org", "localhost");
    let server = env.told("localhost:50051");
    env.say("localhost:50051", server);
    env.say("vrd_…", "$TOKEN");
    let roots = env.file("servers-ca.pem");
    env.set("SSL_CERT_FILE", roots.display());
    let shown = fences(document);
    let toml = Kind::Shown {
        language: "toml".to_owned(),
    };
    let entries = shown.iter().find(|it| it.kind == toml).expect("a file");
    env.write("etc/viridian/credentials.toml", &entries.text);
    let before = format!(
        "```sh stays\nviridian serve\n```\n\
         ```sh\nviridian deployment create shop/web --image web:1\n{}\
         mkdir etc/viridian/secrets\n\
         cp server.* clients-ca.pem etc/viridian\n\
         viridian token --name ci --role promoter --project shop -o json >token.json\n\
         read_token() {{ python3 -c \"import json; print(json.load(open('token.json'))['$1'])\"; }}\n\
         read_token entry >>etc/viridian/credentials.toml\n\
         export TOKEN=$(read_token token)\n```\n",
        certificates()
    );
    follow(document, env, &before).await;
}

/// Does what comes before a document, and then what it says.
async fn follow(document: &str, env: DocumentEnv, before: &str) -> Reader {
    let mut reader = Reader::new(env);
    reader.follow(&parse("before", before)).await;
    let run = reader.follow(&fences(document)).await;
    assert!(run > 0, "{document} has no commands");
    reader
}

/// How the document about security makes certificates.
fn certificates() -> String {
    let blocks = fences("docs/security.md").into_iter();
    let mut making = blocks.filter(|it| it.text.contains("openssl req"));
    making.next().expect("it says how").text
}

/// All documents below a folder, but what was installed or built.
fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let entry = entry.expect("an entry");
        let path = entry.path();
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with('.') || ["target", "node_modules"].contains(&&*name) {
            continue;
        }
        if path.is_dir() {
            collect(&path, found);
        } else if name.ends_with(".md") {
            let below = path.strip_prefix(root()).expect("it is in the root");
            found.push(below.to_owned());
        }
    }
}
