//! What is there before a document's first command, and what its names stand for
//! in a test.

use std::{
    collections::BTreeMap,
    env, fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use crate::harness::{Engine, TestDatabase, tool};

/// A folder to work in, ports of its own, an environment, and other words for what
/// a test cannot have as it stands.
pub(crate) struct DocumentEnv {
    folder: TempDir,
    words: Vec<(String, String)>,
    environment: BTreeMap<String, String>,
    /// Removed when they are dropped.
    databases: Vec<TestDatabase>,
}

impl DocumentEnv {
    /// A home with nothing in it, in which servers listen on free ports where the
    /// documents have 50051 and 50052.
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let home = folder.path().display().to_string();
        let first = free_port();
        let mut env = Self {
            words: Vec::new(),
            environment: BTreeMap::new(),
            databases: Vec::new(),
            folder,
        };
        env.set("HOME", home);
        env.set("PATH", search_path());
        env.set("VIRIDIAN_LISTEN", format_args!("127.0.0.1:{first}"));
        env.set("VIRIDIAN_SERVER", format_args!("http://127.0.0.1:{first}"));
        env.say("0.0.0.0:50051", format_args!("127.0.0.1:{first}"));
        for (documented, port) in [("50051", first), ("50052", free_port())] {
            env.say(
                &format!("127.0.0.1:{documented}"),
                format_args!("127.0.0.1:{port}"),
            );
            env.say(
                &format!("localhost:{documented}"),
                format_args!("localhost:{port}"),
            );
        }
        env.say("127.0.0.1:9464", format_args!("127.0.0.1:{}", free_port()));
        env
    }

    /// Has another word in the place of one.
    pub(crate) fn say(&mut self, documented: &str, here: impl ToString) {
        self.words.push((documented.to_owned(), here.to_string()));
    }

    /// Sets a variable of the environment.
    pub(crate) fn set(&mut self, name: &str, value: impl ToString) {
        self.environment.insert(name.to_owned(), value.to_string());
    }

    /// A PostgreSQL database, as `$URL`; `psql` is its superuser's.
    pub(crate) async fn with_postgres(mut self) -> Self {
        let database = TestDatabase::create(Engine::Postgres).await;
        let url: url::Url = database.url().parse().expect("a URL");
        self.set("PGHOST", url.host_str().expect("a host"));
        self.set("PGPORT", url.port().expect("a port"));
        self.set("PGUSER", url.username());
        self.set("PGPASSWORD", url.password().unwrap_or_default());
        self.set("PGDATABASE", "postgres");
        self.set("URL", &url);
        let name = url.path().trim_start_matches('/').to_owned();
        for words in ["DATABASE viridian", "TO viridian"] {
            self.say(words, words.replace("viridian", &name));
        }
        self.say("OWNER viridian", format_args!("OWNER {}", url.username()));
        self.say(
            "postgres://viridian:secret@127.0.0.1:5432/viridian",
            database.url(),
        );
        self.databases.push(database);
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    /// Writes a file, and the folders that it is in.
    pub(crate) fn write(&self, name: &str, text: &str) {
        let file = self.file(name);
        let folder = file.parent().expect("it is in the folder");
        fs::create_dir_all(folder).expect("a folder");
        fs::write(file, text).expect("a file");
    }

    /// A text with the words of the test.
    pub(crate) fn told(&self, text: &str) -> String {
        self.words
            .iter()
            .fold(text.to_owned(), |text, (documented, here)| {
                text.replace(documented, here)
            })
    }

    pub(crate) fn environment(&self) -> &BTreeMap<String, String> {
        &self.environment
    }
}

/// The program under test, and the tools, before anything else.
fn search_path() -> String {
    let programs = Path::new(env!("CARGO_BIN_EXE_viridian"));
    let grpcurl = tool("grpcurl");
    let mut path: Vec<_> = [programs, &grpcurl]
        .into_iter()
        .filter_map(|it| it.parent().map(Path::to_owned))
        .collect();
    path.extend(env::split_paths(&env::var_os("PATH").unwrap_or_default()));
    let path = env::join_paths(path).expect("a PATH");
    path.into_string().expect("UTF-8")
}

/// A port that nobody has. Below those that the system hands out, so that nobody
/// gets it meanwhile.
fn free_port() -> u16 {
    let mut tried = std::iter::repeat_with(|| rand::random_range(12_000..20_000_u16));
    tried
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("there is one")
}
