//! Connections that begin and go no further, connections that grow old, and the end of a
//! server that has them.

use std::{error::Error as _, net::SocketAddr, time::Duration};

use nix::sys::signal::Signal;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rstest::rstest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpSocket, TcpStream},
};
use tonic::{
    Code,
    transport::{Certificate, Channel, ClientTlsConfig},
};
use viridian_proto::v1::{
    GetDeploymentRequest, WatchAssignmentsRequest,
    deployment_service_client::DeploymentServiceClient,
};

use crate::harness::{
    Engine, METRICS, REFERENCE, Server, WAIT_TIMEOUT, eventually, refused, within,
};

/// They are as many as the address may have, and more. Each has less than a preface.
#[rstest]
#[case::d3_that_say_nothing(b"")]
#[case::d3_that_stop_within_the_preface(b"PRI * HTTP/2.0\r\n\r\nS")]
#[case::d3_that_stop_before_the_first_frame(PREFACE)]
#[tokio::test]
async fn d3_connections_lock_nobody_out_and_end_in_time(#[case] said: &[u8]) {
    let limits = [
        "--max-connections-per-address",
        "12",
        "--handshake-timeout",
        "1s",
    ];
    let flags = [
        &METRICS[..],
        &limits,
        &["--max-handshakes-per-address", "4"],
    ]
    .concat();
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let mut silent = Vec::new();
    for _ in 0..30 {
        silent.push(begin(server.address(), LOOPBACK, said).await);
    }
    let api = server.api().await;
    let answer = api.find(REFERENCE).await.expect_err("there is none");
    refused(&answer, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    for stream in &mut silent {
        end_of(stream).await;
    }
    let evicted = server
        .metrics()
        .await
        .value("viridian_handshakes_evicted_total");
    assert!(evicted > 0.0, "some made room for newer ones");
    // It is no longer in its handshake: the time to the first frame is not its own.
    api.find(REFERENCE).await.expect_err("there is none");
}

/// Byte by byte, each before any timer of silence would end it.
#[tokio::test]
async fn d3_a_preface_that_drips_ends_in_time_too() {
    let flags = ["--handshake-timeout", "1s"];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let mut stream = begin(server.address(), LOOPBACK, b"").await;
    let mut bytes = PREFACE.iter().cycle();
    within("its end", async {
        while let Some(byte) = bytes.next()
            && stream.write_all(&[*byte]).await.is_ok()
        {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    })
    .await;
}

/// Its end waits for calls, and for nobody else.
#[rstest]
#[case::d3_that_say_nothing(b"")]
#[case::d3_that_stop_within_the_preface(b"PRI * HTTP")]
#[case::d3_that_answer_no_ping(IDLE)]
#[tokio::test]
async fn d3_a_server_stops_at_once_beside_connections(#[case] said: &[u8]) {
    let mut server = Server::start(Engine::Sqlite).await;
    let mut silent = Vec::new();
    for _ in 0..3 {
        silent.push(begin(server.address(), LOOPBACK, said).await);
    }
    // One that is in use and one that is not: both end in order.
    let api = server.api().await;
    api.find(REFERENCE).await.expect_err("there is none");
    server.signal(Signal::SIGTERM);
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status:?}");
    let log = server.log();
    assert!(!log.contains("was cut off"), "by its time limit:\n{log}");
    for stream in &mut silent {
        end_of(stream).await;
    }
}

/// From one address, and from several that fill what may be under way in all.
#[rstest]
#[case::g5_of_one_address(&[LOOPBACK], b"")]
#[case::g5_of_three_addresses(&["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"], b"")]
#[case::g5_that_have_begun(&["127.0.0.2:0", "127.0.0.3:0", "127.0.0.4:0"], HELLO)]
#[tokio::test]
async fn g5_half_open_handshakes_keep_nobody_out(#[case] from: &[&str], #[case] said: &[u8]) {
    let files = TempDir::new().expect("a folder");
    let (server, authority) = tls_server(&files).await;
    let mut silent = Vec::new();
    for address in from.iter().cycle().take(1_300) {
        silent.push(begin(server.address(), address, said).await);
    }
    let tls = ClientTlsConfig::new().ca_certificate(authority);
    let url = format!("https://{}", server.address());
    let endpoint = Channel::from_shared(url).expect("a URL");
    let endpoint = endpoint.tls_config(tls).expect("a certificate");
    let channel = endpoint.connect_timeout(WAIT_TIMEOUT / 3).connect().await;
    let mut client = DeploymentServiceClient::new(channel.expect("nobody is kept out"));
    let answer = client.get_deployment(GetDeploymentRequest {
        deployment: REFERENCE.to_owned(),
    });
    let answer = within("an answer", answer).await.expect_err("none");
    refused(&answer, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
}

/// A stream has its grace and ends with a reason. No call that was sent fails.
#[tokio::test]
async fn d10_a_connection_that_is_old_is_replaced() {
    let age = [
        "--max-connection-age",
        "1s",
        "--max-connection-age-grace",
        "1s",
    ];
    let flags = [&METRICS[..], &age].concat();
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    // Before the connection: its age counts from then on.
    let began = tokio::time::Instant::now();
    let api = server.api().await;
    let mut client = api.routes();
    let watch = client.watch_assignments(WatchAssignmentsRequest::default());
    let mut stream = watch.await.expect("a stream").into_inner();
    let calls = tokio::spawn({
        let api = api.clone();
        async move {
            loop {
                let answer = api.find(REFERENCE).await.expect_err("there is none");
                // The client's library may have queued it on a connection that has just
                // ended: it was not sent, and the next one is.
                let was_sent = answer.source().is_none();
                if was_sent {
                    refused(&answer, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
                } else {
                    let again = api.find(REFERENCE).await.expect_err("there is none");
                    refused(&again, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    });
    let end = within("its end", stream.message())
        .await
        .expect_err("it is old");
    let details = refused(&end, Code::Unavailable, "CONNECTION_AGED");
    assert!(details.retry_info().is_some(), "it may come again at once");
    let took = began.elapsed();
    assert!(
        took >= Duration::from_millis(1_900),
        "the grace is kept: {took:?}"
    );
    eventually("more connections", async || {
        let aged = server
            .metrics()
            .await
            .value("viridian_connections_aged_total");
        (aged >= 3.0).then_some(())
    })
    .await;
    assert!(!calls.is_finished(), "a call failed: {:?}", calls.await);
    calls.abort();
}

/// By default no connection ends for its age, and one that is idle is asked to go, too.
#[tokio::test]
async fn d10_an_idle_connection_is_asked_to_end_and_then_ended() {
    let flags = [
        "--max-connection-age",
        "1s",
        "--max-connection-age-grace",
        "0s",
    ];
    let server = Server::start_with(Engine::Sqlite, &flags).await;
    let mut idle = begin(server.address(), LOOPBACK, IDLE).await;
    let mut said = Vec::new();
    within("its end", idle.read_to_end(&mut said))
        .await
        .expect("it ends in order");
    assert!(kinds_of_frames(&said).contains(&GOAWAY), "{said:?}");
}

/// The types of all frames.
fn kinds_of_frames(mut bytes: &[u8]) -> Vec<u8> {
    let mut kinds = Vec::new();
    while let [a, b, c, kind, ..] = bytes {
        kinds.push(*kind);
        let length = usize::from(*a) << 16 | usize::from(*b) << 8 | usize::from(*c);
        bytes = bytes.get(9 + length..).unwrap_or_default();
    }
    kinds
}

async fn begin(server: SocketAddr, from: &str, said: &[u8]) -> TcpStream {
    let socket = TcpSocket::new_v4().expect("a socket");
    let from = from.parse().expect("an address");
    socket.bind(from).expect("all of 127/8 are this machine's");
    let stream = within("a connection", socket.connect(server)).await;
    let mut stream = stream.expect("it is let in, or closed later");
    // It may be closed by now.
    let _ = stream.write_all(said).await;
    stream
}

/// Waits until the server has closed a connection.
async fn end_of(stream: &mut TcpStream) {
    // It may be cut off with what it sent unread.
    let _ = within("its end", stream.read_to_end(&mut Vec::new())).await;
}

/// A server with a certificate for loopback.
async fn tls_server(files: &TempDir) -> (Server, Certificate) {
    let names = vec!["127.0.0.1".to_owned()];
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(names).expect("a certificate");
    let (cert_file, key_file) = (files.path().join("cert.pem"), files.path().join("key.pem"));
    std::fs::write(&cert_file, cert.pem()).expect("a file");
    std::fs::write(&key_file, signing_key.serialize_pem()).expect("a file");
    let server = Server::start_by(Engine::Sqlite, |command| {
        command.arg("--tls-cert").arg(cert_file);
        command.arg("--tls-key").arg(key_file);
    })
    .await;
    (server, Certificate::from_pem(cert.pem()))
}

const LOOPBACK: &str = "127.0.0.1:0";
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and empty settings: all that a client must say.
const IDLE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
/// The start of a record of TLS that is a hundred bytes long.
const HELLO: &[u8] = b"\x16\x03\x01\x00\x64\x01\x00\x00\x60\x03\x03";
const GOAWAY: u8 = 7;
