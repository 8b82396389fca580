//! TLS, and callers that show a certificate.

use std::{error::Error as _, net::TcpStream, path::PathBuf};

use rstest::rstest;
use tonic::{
    Code, Status,
    transport::{Channel, ClientTlsConfig, Error},
};
use viridian_client::CallCredentials;
use viridian_proto::v1::ListHistoryRequest;

use super::{
    pki::{Authority, Files, KeyCertPair},
    staff::{Client, GuardedServer, of_san, of_token},
};
use crate::harness::{
    FinishedProgram, WAIT_TIMEOUT, eventually, finish, refused, viridian, within,
};

const SPIFFE: &str = "uri:spiffe://example.org/ci";

#[rstest]
#[case::dns("dns:ci.example.org")]
#[case::uri(SPIFFE)]
#[case::email("email:ci@example.org")]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_lets_in_whom_the_file_names(#[case] san: &str) {
    let env = CertificateEnv::start().await;
    let pair = env.clients.client(san);
    let client = env.client(Some(&pair), CallCredentials::anonymous()).await;
    let created = client.create("shop", "web", 0).await.expect("let in");
    let request = ListHistoryRequest {
        deployment: created.id,
        ..ListHistoryRequest::default()
    };
    let history = client.deployments().list_history(request).await;
    let history = history.expect("a list").into_inner().entries;
    assert!(
        history.iter().any(|entry| entry.actor == san),
        "{history:?}"
    );
    let status = client.list("bank").await.expect_err("it is not theirs");
    refused(&status, Code::PermissionDenied, "PROJECT_NOT_ALLOWED");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_the_file_does_not_name_lets_nobody_in() {
    let env = CertificateEnv::start().await;
    for san in [
        "dns:other.example.org",
        "dns:spiffe",
        "uri:spiffe://example.org/ci/2",
    ] {
        let pair = env.clients.client(san);
        let client = env.client(Some(&pair), CallCredentials::anonymous()).await;
        let status = client.list("").await.expect_err("who is it");
        refused(&status, Code::Unauthenticated, "CREDENTIALS_INVALID");
    }
    eventually("a line that says whose it was", async || {
        let log = env.guarded.server.log();
        log.contains("dns:other.example.org").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_is_not_needed_where_a_token_is_shown() {
    let env = CertificateEnv::start().await;
    let token = |text: &str| CallCredentials::bearer(text).expect("a token");
    let nobody = env.client(None, CallCredentials::anonymous()).await;
    let status = nobody.list("").await.expect_err("nothing is shown");
    refused(&status, Code::Unauthenticated, "CREDENTIALS_MISSING");
    let client = env.client(None, token("vrd_viewer")).await;
    client.list("").await.expect("the token is good");

    // Of both, the token counts.
    let pair = env.clients.client(SPIFFE);
    let client = env.client(Some(&pair), token("vrd_viewer")).await;
    client.list("").await.expect("the token is good");
    let status = client
        .create("shop", "a", 0)
        .await
        .expect_err("it only looks");
    refused(&status, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    let client = env.client(Some(&pair), token("vrd_wrong")).await;
    let status = client.list("").await.expect_err("the token is wrong");
    refused(&status, Code::Unauthenticated, "CREDENTIALS_INVALID");
}

#[rstest]
#[case::expired(|env: &CertificateEnv| env.clients.expired(SPIFFE), "expired")]
#[case::unknown_authority(|_: &CertificateEnv| Authority::new("other").client(SPIFFE), "UnknownIssuer")]
#[case::for_servers(|env: &CertificateEnv| env.clients.server(), "key usage")]
#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_good_makes_no_connection(
    #[case] pair: fn(&CertificateEnv) -> KeyCertPair,
    #[case] reason: &str,
) {
    let env = CertificateEnv::start().await;
    let pair = pair(&env);
    // With a token beside it, too.
    let bearer = CallCredentials::bearer("vrd_viewer").expect("a token");
    // The server may only say so once something is sent.
    let outcome = match env.connect(Some(&pair), &env.servers).await {
        Ok(channel) => Client::new(channel, bearer).list("").await,
        Err(error) => Err(Status::from_error(error.into())),
    };
    let status = outcome.expect_err("it is not good");
    assert_ne!(
        status.code(),
        Code::Unauthenticated,
        "no reply came: {status:?}"
    );
    let line = eventually("a line in the log", async || {
        let log = env.guarded.server.log();
        let found = log
            .lines()
            .find(|line| line.contains("could not be secured"));
        found.map(str::to_owned)
    })
    .await;
    assert!(
        line.to_lowercase().contains(&reason.to_lowercase()),
        "{line}"
    );

    let run = env.run(Some(&pair), &env.servers).await;
    assert_eq!(run.code, Some(64 + 14), "{run:?}");
    assert!(run.stderr.contains("connection"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_of_an_unknown_authority_is_not_talked_to() {
    let env = CertificateEnv::start().await;
    let pair = env.clients.client(SPIFFE);
    let other = Authority::new("other");
    let error = env.connect(Some(&pair), &other).await;
    let error = cause(&error.expect_err("it is not the server's"));
    assert!(error.contains("UnknownIssuer"), "{error}");
    let run = env.run(Some(&pair), &other).await;
    assert_eq!(run.code, Some(64 + 14), "{run:?}");
    assert!(run.stderr.contains("UnknownIssuer"), "{run:?}");
    assert_eq!(run.stderr.lines().count(), 1, "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_line_shows_a_certificate() {
    let env = CertificateEnv::start().await;
    let pair = env.clients.client(SPIFFE);
    let run = env.run(Some(&pair), &env.servers).await;
    assert_eq!(run.code, Some(0), "{run:?}");
    let run = env.run(None, &env.servers).await;
    assert_eq!(run.code, Some(64 + 16), "{run:?}");
    assert!(run.stderr.contains("CREDENTIALS_MISSING"), "{run:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_encrypted_gets_no_answer() {
    let env = CertificateEnv::start().await;
    let channel = Channel::from_shared(env.guarded.server.url()).expect("a URL");
    let channel = channel
        .connect_timeout(WAIT_TIMEOUT)
        .timeout(WAIT_TIMEOUT)
        .connect_lazy();
    let plain = Client::new(
        channel,
        CallCredentials::bearer("vrd_viewer").expect("a token"),
    );
    let status = within("a failure", plain.list(""))
        .await
        .expect_err("it is not TLS");
    assert_ne!(status.code(), Code::Unauthenticated, "{status:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn callers_that_do_not_shake_hands_keep_nobody_waiting() {
    let env = CertificateEnv::start().await;
    let address = env.guarded.server.address();
    let silent: Vec<_> = (0..100)
        .map(|_| TcpStream::connect(address).expect("a connection"))
        .collect();
    let answer = within("an answer", async {
        let bearer = CallCredentials::bearer("vrd_viewer").expect("a token");
        env.client(None, bearer).await.list("").await
    });
    answer.await.expect("it is answered");
    drop(silent);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_certificate_counts_for_new_connections() {
    let env = CertificateEnv::start().await;
    let bearer = || CallCredentials::bearer("vrd_viewer").expect("a token");
    let old = env.client(None, bearer()).await;
    let next = Authority::new("next");
    let pair = next.server();
    // One after the other: for a while they do not fit.
    env.files.write("server.pem", &pair.cert);
    env.files.write("server.key", &pair.key);
    let channel = eventually("the new certificate", async || {
        env.connect(None, &next).await.ok()
    })
    .await;
    let new = Client::new(channel, bearer());
    new.list("").await.expect("it is answered");
    old.list("").await.expect("what was there stays");
    let error = env.connect(None, &env.servers).await;
    error.expect_err("the old one is not shown any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authority_that_is_removed_vouches_for_nobody_any_more() {
    let env = CertificateEnv::start().await;
    let pair = env.clients.client(SPIFFE);
    let client = env.client(Some(&pair), CallCredentials::anonymous()).await;
    client.list("").await.expect("let in");
    let next = Authority::new("next clients");
    env.files.write("clients.pem", &next.pem());
    eventually("the new authority", async || {
        let pair = next.client(SPIFFE);
        let channel = env.connect(Some(&pair), &env.servers).await.ok()?;
        Client::new(channel, CallCredentials::anonymous())
            .list("")
            .await
            .ok()
    })
    .await;
    let refusal = match env.connect(Some(&pair), &env.servers).await {
        Ok(channel) => Client::new(channel, CallCredentials::anonymous())
            .list("")
            .await
            .err(),
        Err(error) => Some(Status::from_error(error.into())),
    };
    refusal.expect("it vouches for nobody");
}

/// A server with TLS that takes certificates and tokens.
struct CertificateEnv {
    guarded: GuardedServer,
    /// Of the server's certificate.
    servers: Authority,
    /// Of the clients' certificates.
    clients: Authority,
    files: Files,
}

impl CertificateEnv {
    async fn start() -> Self {
        let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
        let files = Files::create();
        let pair = servers.server();
        let flags = [
            ("--tls-cert", files.write("server.pem", &pair.cert)),
            ("--tls-key", files.write("server.key", &pair.key)),
            (
                "--tls-client-ca",
                files.write("clients.pem", &clients.pem()),
            ),
        ];
        let mut entries: Vec<_> = ["dns:ci.example.org", SPIFFE, "email:ci@example.org"]
            .map(|san| of_san(san, san, &["operator"], &["shop"]))
            .into();
        entries.push(of_token("viewer", "vrd_viewer", &["viewer"], &["*"]));
        let guarded = GuardedServer::start_with(&entries, |command| {
            for (flag, file) in flags {
                command.arg(flag).arg(file);
            }
        })
        .await;
        Self {
            guarded,
            servers,
            clients,
            files,
        }
    }

    fn url(&self) -> String {
        format!("https://{}", self.guarded.server.address())
    }

    /// Connects as one who trusts an authority, and maybe shows a certificate.
    async fn connect(
        &self,
        pair: Option<&KeyCertPair>,
        trusted: &Authority,
    ) -> Result<Channel, Error> {
        let mut tls = ClientTlsConfig::new().ca_certificate(trusted.certificate());
        if let Some(pair) = pair {
            tls = tls.identity(pair.identity());
        }
        let endpoint = Channel::from_shared(self.url()).expect("a URL");
        let endpoint = endpoint.tls_config(tls)?.connect_timeout(WAIT_TIMEOUT);
        endpoint.timeout(WAIT_TIMEOUT).connect().await
    }

    async fn client(&self, pair: Option<&KeyCertPair>, bearer: CallCredentials) -> Client {
        let channel = self.connect(pair, &self.servers).await;
        Client::new(channel.expect("a connection"), bearer)
    }

    /// `viridian deployment list` as one who does the same.
    async fn run(&self, pair: Option<&KeyCertPair>, trusted: &Authority) -> FinishedProgram {
        let mut command = viridian(&["deployment", "list", "--server", &self.url()]);
        let mut flag = |name: &str, file: PathBuf| {
            command.arg(name).arg(file);
        };
        flag("--tls-ca", self.files.write("ca.pem", &trusted.pem()));
        if let Some(pair) = pair {
            flag("--tls-cert", self.files.write("client.pem", &pair.cert));
            flag("--tls-key", self.files.write("client.key", &pair.key));
        }
        finish(command).await
    }
}

/// What lies at the bottom of an error.
fn cause(error: &Error) -> String {
    let mut cause = error.source().expect("a reason");
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
