//! Waits for the message of a call, within its time and its memory. A call takes nothing
//! that others need before its message is there.

use axum::body::Body;
use http_body_util::BodyExt as _;
use tokio::time::{Instant, timeout_at};
use tonic::Status;

use super::request_memory::{ExhaustedMemory, MemoryShare};

/// Why a message is not there.
#[derive(Debug)]
pub(super) enum MissingMessage {
    /// It did not come in time.
    TooSlow,
    /// It takes more memory than there is.
    NoMemory(ExhaustedMemory),
    /// It is larger than a message may be.
    TooLarge,
    /// The caller gave up.
    Broken,
}

/// Reads a body to its end.
pub(super) async fn receive(
    mut body: Body,
    share: &mut MemoryShare,
    max_size: usize,
    deadline: Instant,
) -> Result<Body, MissingMessage> {
    // Copied, since a slice would hold the whole buffer that the connection read.
    let mut received = Vec::new();
    loop {
        let frame = timeout_at(deadline, body.frame()).await;
        let Some(frame) = frame.map_err(|_| MissingMessage::TooSlow)? else {
            break;
        };
        let frame = frame.map_err(|_| MissingMessage::Broken)?;
        let Ok(data) = frame.into_data() else {
            continue;
        };
        share.grow(data.len()).map_err(MissingMessage::NoMemory)?;
        received.extend_from_slice(&data);
        // At once: the rest of such a message is not worth waiting for.
        if received.len() > PREFIX + max_size || declared_size(&received) > max_size {
            return Err(MissingMessage::TooLarge);
        }
    }
    Ok(Body::from(received))
}

/// The size that a message says it has, or 0 before that is there.
fn declared_size(received: &[u8]) -> usize {
    let [_compressed, a, b, c, d, ..] = *received else {
        return 0;
    };
    usize::try_from(u32::from_be_bytes([a, b, c, d])).unwrap_or(usize::MAX)
}

impl MissingMessage {
    /// What the gRPC library says of a message that is too large.
    pub(super) fn too_large() -> Status {
        Status::out_of_range("the message is larger than it may be")
    }
}

/// Of each message: whether it is compressed, and its size.
const PREFIX: usize = 5;

#[cfg(test)]
mod tests {
    use std::{convert::Infallible, time::Duration};

    use axum::body::Bytes;
    use futures::{StreamExt as _, stream};
    use http::HeaderMap;
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::{
        layers::{client_key::ClientKey, request_memory::RequestMemory},
        rpc_limits::RpcLimits,
    };

    #[tokio::test]
    async fn a_message_is_received_whole() {
        let parts = [&[0, 0, 0, 0, 3, b'a'][..], b"bc"];
        let body = received(parts, false, 1_024).await.expect("it is there");
        let all = body.collect().await.expect("a body").to_bytes();
        assert_eq!(all, &b"\0\0\0\0\x03abc"[..]);
    }

    #[tokio::test]
    async fn g2_one_that_does_not_come_is_not_waited_for() {
        for parts in [&[][..], &[&[0, 0, 0, 0, 3, b'a'][..]]] {
            let missing = received(parts.iter().copied(), true, 1_024).await;
            let missing = missing.expect_err("there is no end");
            assert!(matches!(missing, MissingMessage::TooSlow), "{missing:?}");
        }
    }

    #[tokio::test]
    async fn one_that_is_too_large_is_not_waited_for_either() {
        for parts in [
            &[&[0, 0, 0, 4, 1][..]][..],
            &[&[0, 0, 0, 0, 1], &[0; 1_100]],
        ] {
            let missing = received(parts.iter().copied(), true, 1_024).await;
            let missing = missing.expect_err("it is too large");
            assert!(matches!(missing, MissingMessage::TooLarge), "{missing:?}");
        }
    }

    #[tokio::test]
    async fn g2_what_has_come_counts_as_memory() {
        let large = vec![0; 100 * 1_024];
        let missing = received([&large[..]], true, 1_024 * 1_024).await;
        let missing = missing.expect_err("there is less");
        let of_client = MissingMessage::NoMemory(ExhaustedMemory::OfClient);
        assert_eq!(format!("{missing:?}"), format!("{of_client:?}"));
    }

    async fn received<'a>(
        parts: impl IntoIterator<Item = &'a [u8]>,
        goes_on: bool,
        max_size: usize,
    ) -> Result<Body, MissingMessage> {
        let parts: Vec<_> = parts
            .into_iter()
            .map(|part| Ok::<_, Infallible>(Frame::data(Bytes::copy_from_slice(part))))
            .collect();
        let rest = match goes_on {
            true => stream::pending().boxed(),
            false => stream::empty().boxed(),
        };
        let body = Body::new(StreamBody::new(stream::iter(parts).chain(rest)));
        let memory = RequestMemory::new(&RpcLimits {
            request_memory_per_caller: 64 * 1_024,
            ..RpcLimits::default()
        });
        let mut share = memory
            .begin(ClientKey::Unknown, &HeaderMap::new())
            .expect("there is room");
        let deadline = Instant::now() + Duration::from_millis(50);
        receive(body, &mut share, max_size, deadline).await
    }
}
