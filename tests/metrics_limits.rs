//! The endpoint for metrics, and those who reach it and ask too much.

use std::net::SocketAddr;

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    task::JoinSet,
};

use crate::harness::{Engine, METRICS, Server, eventually, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_metrics_are_for_few_at_a_time_and_none_stays() {
    let server = Server::start_with(Engine::Sqlite, &METRICS).await;
    let at = address(&server).await;
    // Silent, or with a header that does not end.
    let mut held = Vec::new();
    for index in 0..64 {
        let mut stream = connect(at).await;
        if index % 2 == 0 {
            let _ = stream
                .write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\n")
                .await;
        }
        held.push(stream);
    }
    // Those past the limit are closed at once: a few wait for their time to be over.
    let mut open = JoinSet::new();
    for mut stream in held {
        open.spawn(async move { stream.read(&mut [0; 64]).await });
    }
    for _ in 0..64 {
        let ended = within("the end of a connection", open.join_next()).await;
        let _: Option<_> = ended;
    }
    assert!(server.metrics().await.value("viridian_database_up") > 0.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g17_a_page_of_metrics_that_is_not_read_ends() {
    let server = Server::start_with(Engine::Sqlite, &METRICS).await;
    let at = address(&server).await;
    let mut stream = connect(at).await;
    // One after the other on one connection: only the first has an answer.
    let request = b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n".repeat(100);
    let _ = stream.write_all(&request).await;
    let mut answers = Vec::new();
    let _ = within("the end", stream.read_to_end(&mut answers)).await;
    let text = String::from_utf8_lossy(&answers);
    assert_eq!(text.matches("HTTP/1.1 200").count(), 1, "{text}");
    // A body is not waited for, and a header has a bound.
    for request in [
        "POST /metrics HTTP/1.1\r\nhost: a\r\ncontent-length: 1000000000\r\n\r\n".to_owned(),
        format!(
            "GET /metrics HTTP/1.1\r\na: {}\r\n\r\n",
            "x".repeat(100_000)
        ),
    ] {
        let mut stream = connect(at).await;
        let _ = stream.write_all(request.as_bytes()).await;
        let mut answer = Vec::new();
        let _ = within("the end", stream.read_to_end(&mut answer)).await;
        let text = String::from_utf8_lossy(&answer);
        assert!(!text.contains("200 OK"), "{text}");
    }
}

async fn address(server: &Server) -> SocketAddr {
    let url = eventually("where it tells", async || server.metrics_url()).await;
    let at = url.trim_start_matches("http://");
    let (at, _) = at.split_once('/').expect("a path");
    at.parse().expect("an address")
}

async fn connect(at: SocketAddr) -> TcpStream {
    TcpStream::connect(at).await.expect("it accepts")
}
