//! TLS to a PostgreSQL server of the test's own, by a certificate that it made.

use std::{
    fs,
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use diesel::{QueryableByName, sql_types::Bool};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use tempfile::TempDir;
use tokio::task::spawn_blocking;
use url::Url;

use viridian_engine::Snapshot;

use crate::{OpenError, Store, check};

#[tokio::test(flavor = "multi_thread")]
async fn the_server_is_believed_as_the_url_says() {
    let server = Server::start().await;
    let pinned = |mode, roots: &Path| format!("sslmode={mode}&sslrootcert={}", roots.display());

    // It has no TLS yet.
    for mode in ["disable", "prefer"] {
        assert_eq!(
            server.encrypts(LOCALHOST, &format!("sslmode={mode}")).await,
            Ok(false)
        );
    }
    let refused = server.encrypts(LOCALHOST, "sslmode=require").await;
    assert!(
        refused
            .expect_err("it has none")
            .contains("does not support TLS")
    );

    let (ours, theirs) = (authority("ours"), authority("theirs"));
    server.turn_on_tls(&ours).await;
    let right = server.file("right.pem", &ours.pem());
    let wrong = server.file("wrong.pem", &theirs.pem());
    let both = server.file("both.pem", &(theirs.pem() + &ours.pem()));
    for (host, options, encrypted) in [
        (LOCALHOST, String::new(), true),
        (LOCALHOST, "sslmode=disable".into(), false),
        (LOCALHOST, "sslmode=prefer".into(), true),
        (LOCALHOST, "sslmode=require".into(), true),
        (LOCALHOST, pinned("require", &right), true),
        (LOCALHOST, pinned("verify-ca", &right), true),
        (LOCALHOST, pinned("verify-full", &right), true),
        (LOCALHOST, pinned("verify-full", &both), true),
        (LOCALHOST, pinned("prefer", &wrong), true),
        // Its certificate is for another name.
        (ADDRESS, "sslmode=require".into(), true),
        (ADDRESS, pinned("verify-ca", &right), true),
    ] {
        let found = server.encrypts(host, &options).await;
        assert_eq!(found, Ok(encrypted), "{host} {options}");
    }
    for (host, options, why) in [
        (ADDRESS, pinned("verify-full", &right), "not valid for name"),
        (LOCALHOST, pinned("require", &wrong), "UnknownIssuer"),
        (LOCALHOST, pinned("verify-ca", &wrong), "UnknownIssuer"),
        (LOCALHOST, pinned("verify-full", &wrong), "UnknownIssuer"),
        // By the platform's roots.
        (LOCALHOST, "sslmode=verify-full".into(), ""),
    ] {
        let found = server.encrypts(host, &options).await;
        let error = found.expect_err(&options);
        assert!(error.contains(why), "{host} {options}: {error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }

    // The whole store goes over it, with its pool and its migrations.
    let url = server.url(LOCALHOST, &pinned("verify-full", &right));
    let db = Store::open(&url).await.expect("it opens");
    db.now().await.expect("it answers");
    let checked = check(&url, None).await.expect("it can be checked");
    assert!(checked.violations.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn roots_that_cannot_be_read_are_named() {
    let folder = TempDir::new().expect("a temporary folder");
    let missing = folder.path().join("missing.pem");
    let empty = folder.path().join("empty.pem");
    fs::write(&empty, "nothing of use\n").expect("a file");
    for path in [missing, empty] {
        let options = format!("sslmode=verify-full&sslrootcert={}", path.display());
        let opened = Store::open(&format!("postgres://me@127.0.0.1:1/db?{options}")).await;
        let error = opened.map(|_| ()).expect_err(&options);
        assert!(matches!(error, OpenError::Url(_)), "{error:?}");
        assert!(
            error.to_string().contains(path.to_str().expect("UTF-8")),
            "{error}"
        );
    }
}

/// Ends when it is dropped.
struct Server {
    process: Child,
    /// Its superuser's, at 127.0.0.1.
    url: Url,
    folder: TempDir,
}

impl Server {
    async fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/with-postgres");
        let started = spawn_blocking(move || {
            let mut process = Command::new(script)
                .args(["sh", "-c", "echo \"$VIRIDIAN_TEST_POSTGRES\"; exec cat"])
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .spawn()
                .expect("scripts/with-postgres can be started");
            let mut url = String::new();
            let stdout = process.stdout.take().expect("stdout is a pipe");
            BufReader::new(stdout).read_line(&mut url).expect("a line");
            (process, url)
        });
        let (process, url) = started.await.expect("it starts");
        Self {
            process,
            url: url.trim().parse().expect("the URL of a server"),
            folder: TempDir::new().expect("a temporary folder"),
        }
    }

    /// Has it use a certificate for `localhost`, from `authority`.
    async fn turn_on_tls(&self, authority: &Authority) {
        let key = KeyPair::generate().expect("a key");
        let names = CertificateParams::new(vec!["localhost".to_owned()]).expect("a name");
        let certificate = names.signed_by(&key, authority).expect("a certificate");
        let session = tokio_postgres::connect(self.url.as_str(), tokio_postgres::NoTls).await;
        let (client, driver) = session.expect("it answers");
        tokio::spawn(driver);
        // It writes them itself, since nobody else may own or read its key.
        for (file, pem) in [
            ("server.crt", certificate.pem()),
            ("server.key", key.serialize_pem()),
        ] {
            let write = format!(
                "COPY (SELECT unnest(string_to_array('{}', E'\\n'))) \
                 TO PROGRAM 'umask 077 && cat > {file}'",
                pem.trim()
            );
            client.batch_execute(&write).await.expect(file);
        }
        client
            .batch_execute("ALTER SYSTEM SET ssl = on")
            .await
            .expect("it may be set");
        client
            .batch_execute("SELECT pg_reload_conf()")
            .await
            .expect("it is told");
        let begin = std::time::Instant::now();
        // A session takes a setting over between two statements.
        while self.encrypts(LOCALHOST, "sslmode=require").await.is_err() {
            assert!(begin.elapsed().as_secs() < 30, "it does not turn TLS on");
        }
    }

    /// Whether a session that the store opens is encrypted, or why there is none.
    async fn encrypts(&self, host: &str, options: &str) -> Result<bool, String> {
        let opened = Snapshot::open(&self.url(host, options)).await;
        let mut session = opened.map_err(|error| error.to_string())?;
        let query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
        let rows: Vec<Row> = session.rows(query, None).await.expect("it answers");
        Ok(rows[0].ssl)
    }

    fn url(&self, host: &str, options: &str) -> String {
        let mut url = self.url.clone();
        url.set_host(Some(host)).expect("a host");
        url.set_query(Some(options).filter(|options| !options.is_empty()));
        url.into()
    }

    fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.folder.path().join(name);
        fs::write(&path, text).expect("a file");
        path
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // Its command ends with its input, and it with that.
        drop(self.process.stdin.take());
        let _ = self.process.wait();
    }
}

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, name);
    let key = KeyPair::generate().expect("a key");
    CertifiedIssuer::self_signed(params, key).expect("a certificate")
}

#[derive(QueryableByName)]
struct Row {
    #[diesel(sql_type = Bool)]
    ssl: bool,
}

const LOCALHOST: &str = "localhost";
const ADDRESS: &str = "127.0.0.1";
