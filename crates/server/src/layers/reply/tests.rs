use axum::body::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use tonic::Code;

use super::*;

fn limits() -> ReplyLimits {
    ReplyLimits::new(&RpcLimits {
        reply_memory: 8 * MIB,
        reply_memory_per_caller: 4 * MIB,
        reply_timeout: Duration::from_secs(10),
        ..RpcLimits::default()
    })
}

fn caller(name: &str) -> ClientKey {
    ClientKey::Principal(name.into())
}

fn page(bytes: usize) -> Body {
    Body::from(vec![7; bytes])
}

#[tokio::test]
async fn g4_replies_that_nobody_takes_are_bounded_for_each_caller_and_in_all() {
    let limits = limits();
    let room = async |name| limits.reserve(caller(name)).now_or_never().flatten();
    let first = room("a").await.expect("room for a page");
    assert!(room("a").await.is_none(), "it has used up its own");
    let second = room("b").await.expect("another's room");
    assert!(room("c").await.is_none(), "there is no more in all");
    drop(second);
    let mut small = room("c").await.expect("it is given back");
    // What a page does not need is somebody else's at once.
    small.shrink_to(1_000);
    assert!(room("b").await.is_none(), "a part of it is taken");
    drop(first);
    assert!(room("b").await.is_some());
}

#[tokio::test]
async fn g4_what_waits_for_room_is_bounded_too() {
    let limits = limits();
    let _taken = limits.reserve(caller("a")).await.expect("room");
    let mut waiting: Vec<_> = (0..MAX_WAITING)
        .map(|_| Box::pin(limits.reserve(caller("a"))))
        .collect();
    for call in &mut waiting {
        assert!(call.now_or_never().is_none(), "it waits");
    }
    assert!(limits.reserve(caller("a")).await.is_none(), "one more");
}

#[tokio::test]
async fn g4_a_reply_comes_in_slices_and_whole() {
    let limits = limits();
    let permit = limits.reserve(caller("a")).await;
    let mut body = limits.hold(caller("a"), page(3 * MIB as usize), permit);
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let data = frame.expect("a frame").into_data().expect("data");
        assert!(data.len() <= 64 * 1_024, "{}", data.len());
        assert!(data.iter().all(|byte| *byte == 7));
        bytes += data.len();
    }
    assert_eq!(bytes, 3 * MIB as usize);
}

#[tokio::test]
async fn g4_a_reply_that_nobody_takes_ends_and_gives_back_its_room() {
    let limits = limits();
    let permit = limits.reserve(caller("a")).await;
    let mut body = limits.hold(caller("a"), page(3 * MIB as usize), permit);
    body.frame().await.expect("a slice").expect("data");
    limits.end_untaken(Instant::now() + Duration::from_secs(9));
    let waits = limits.reserve(caller("a")).now_or_never();
    assert!(waits.is_none(), "it has time yet");
    limits.end_untaken(Instant::now() + Duration::from_secs(10));
    let room = limits.reserve(caller("a")).now_or_never().flatten();
    assert!(room.is_some(), "its room is free");
    let end = body.frame().await.expect("an end").expect("a frame");
    let trailers = end.into_trailers().expect("trailers");
    let status = tonic::Status::from_header_map(&trailers).expect("a status");
    assert_eq!(status.code(), Code::ResourceExhausted);
    assert!(body.frame().await.is_none(), "nothing comes after it");
}

/// A stream that has nothing to say is no stream that nobody takes.
#[tokio::test]
async fn g4_only_what_was_offered_can_be_late() {
    let limits = limits();
    let frames = stream::iter([Ok::<_, axum::Error>(http_body::Frame::data(Bytes::from(
        "x",
    )))]);
    let frames = frames.chain(stream::pending());
    let mut body = limits.hold(caller("a"), Body::new(StreamBody::new(frames)), None);
    body.frame().await.expect("a frame").expect("data");
    // Its caller has taken that, and waits for more.
    assert!(body.frame().now_or_never().is_none());
    limits.end_untaken(Instant::now() + Duration::from_secs(3_600));
    assert!(body.frame().now_or_never().is_none(), "it goes on");
}

/// Beyond a number of bytes in all, the caller that holds most loses what has waited longest.
#[tokio::test]
async fn g4_streams_that_nobody_takes_are_bounded_in_all() {
    let limits = limits();
    // Each holds 1 MiB and the buffer of HTTP/2, of 8 MiB in all.
    let stream = async |name| {
        let mut body = limits.hold(caller(name), page(MIB as usize), None);
        body.frame().await.expect("a slice").expect("data");
        body
    };
    let mut slow = stream("slow").await;
    let mut flood = Vec::new();
    for _ in 0..8 {
        flood.push(stream("flood").await);
    }
    limits.end_untaken(Instant::now());
    limits.end_untaken(Instant::now() + Duration::from_secs(2));
    let mut ended = 0;
    for body in &mut flood {
        let frame = body.frame().await.expect("more").expect("a frame");
        ended += usize::from(frame.is_trailers());
    }
    assert_eq!(ended, 2, "as many as are too much");
    let frame = slow.frame().await.expect("more").expect("a frame");
    assert!(frame.is_data(), "another's is no concern of that");
}

/// Nothing is kept of replies that are over.
#[tokio::test]
async fn g4_replies_that_are_over_are_forgotten() {
    let limits = limits();
    for _ in 0..100 {
        drop(limits.hold(caller("a"), page(1), None));
    }
    let open = limits.hold(caller("a"), page(1), None);
    limits.end_untaken(Instant::now());
    assert_eq!(lock(&limits.replies).len(), 1);
    drop(open);
}

const MIB: u32 = 1_024 * 1_024;
