//! A stream ends when its caller is not let in any more, and goes on while others
//! come and go.

use std::time::Duration;

use tonic::{Code, Status, Streaming};
use viridian_proto::v1::{WatchTrafficRequest, WatchTrafficResponse};

use super::staff::{Client, GuardedServer, of_token};
use crate::harness::{refused, within};

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_token_is_removed() {
    let (guarded, mut stays) = start().await;
    let mut removed = open(&guarded, "vrd_removed").await;
    guarded.file.replace(&[stays_entry(), root_entry()]);
    let end = ending(&mut removed).await;
    refused(&end, Code::Unauthenticated, "CREDENTIALS_INVALID");
    assert_goes_on(&guarded, &mut stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_role_is_taken_away() {
    let (guarded, mut stays) = start().await;
    let mut removed = open(&guarded, "vrd_removed").await;
    let viewer = of_token("removed", "vrd_removed", &["viewer"], &["*"]);
    guarded.file.replace(&[stays_entry(), root_entry(), viewer]);
    let end = ending(&mut removed).await;
    refused(&end, Code::PermissionDenied, "ROLE_NOT_ALLOWED");
    assert_goes_on(&guarded, &mut stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_its_projects_change_and_can_be_had_anew() {
    let (guarded, mut stays) = start().await;
    let mut changed = open(&guarded, "vrd_removed").await;
    let fewer = of_token("removed", "vrd_removed", &["proxy"], &["shop"]);
    guarded.file.replace(&[stays_entry(), root_entry(), fewer]);
    let end = ending(&mut changed).await;
    let details = refused(&end, Code::Unavailable, "CREDENTIALS_CHANGED");
    assert_eq!(
        details.retry_info().and_then(|retry| retry.retry_delay),
        Some(Duration::ZERO)
    );
    open(&guarded, "vrd_removed").await;
    assert_goes_on(&guarded, &mut stays).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn g17_reflection_ends_when_its_token_is_removed() {
    use tonic_reflection::pb::{v1, v1alpha};

    let (guarded, mut stays) = start().await;
    // Neither says that it is over: as a tool that is left open.
    let client = guarded.client("vrd_removed").await;
    let mut reflection =
        v1::server_reflection_client::ServerReflectionClient::new(client.service());
    let reply = reflection.server_reflection_info(futures::stream::pending());
    let mut answers = within("the stream", reply)
        .await
        .expect("let in")
        .into_inner();
    let mut reflection =
        v1alpha::server_reflection_client::ServerReflectionClient::new(client.service());
    let reply = reflection.server_reflection_info(futures::stream::pending());
    let mut older = within("the stream", reply)
        .await
        .expect("let in")
        .into_inner();
    guarded.file.replace(&[stays_entry(), root_entry()]);
    let end = within("the end", answers.message()).await;
    let end = end.map(|_| ()).expect_err("it ends with a reason");
    refused(&end, Code::Unauthenticated, "CREDENTIALS_INVALID");
    let end = within("the end", older.message()).await;
    let end = end.map(|_| ()).expect_err("it ends with a reason");
    refused(&end, Code::Unauthenticated, "CREDENTIALS_INVALID");
    assert_goes_on(&guarded, &mut stays).await;
}

async fn start() -> (GuardedServer, Streaming<WatchTrafficResponse>) {
    let removed = of_token("removed", "vrd_removed", &["proxy"], &["*"]);
    let guarded = GuardedServer::start(&[removed, stays_entry(), root_entry()]).await;
    root(&guarded)
        .await
        .create("shop", "web", 0)
        .await
        .expect("created");
    let stays = open(&guarded, "vrd_stays").await;
    (guarded, stays)
}

fn stays_entry() -> String {
    of_token("stays", "vrd_stays", &["proxy"], &["*"])
}

fn root_entry() -> String {
    of_token("root", "vrd_root", &["operator"], &["*"])
}

async fn root(guarded: &GuardedServer) -> Client {
    guarded.client("vrd_root").await
}

/// A stream whose first table has come.
async fn open(guarded: &GuardedServer, token: &str) -> Streaming<WatchTrafficResponse> {
    let request = WatchTrafficRequest {
        deployments: Vec::new(),
        all: true,
        ..WatchTrafficRequest::default()
    };
    let client = guarded.client(token).await;
    let reply = client.traffic().watch_traffic(request).await;
    let mut stream = reply.expect("they are let in").into_inner();
    let first = within("the first table", stream.message()).await;
    first.expect("a stream").expect("a table");
    stream
}

/// What a stream ends with; tables and heartbeats are passed over.
async fn ending(stream: &mut Streaming<WatchTrafficResponse>) -> Status {
    within("the end of the stream", async {
        loop {
            match stream.message().await {
                Ok(Some(_)) => {}
                Ok(None) => panic!("it ends with a reason"),
                Err(status) => return status,
            }
        }
    })
    .await
}

/// The next change comes by.
async fn assert_goes_on(guarded: &GuardedServer, stream: &mut Streaming<WatchTrafficResponse>) {
    root(guarded)
        .await
        .create("shop", "next", 0)
        .await
        .expect("created");
    let next = within("the next table", stream.message()).await;
    next.expect("the stream goes on").expect("a table");
}
