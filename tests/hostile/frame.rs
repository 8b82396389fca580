//! What becomes of a message on its way: bytes that are no message, frames that
//! are none, headers that say something else.

use prost_reflect::MethodDescriptor;
use tonic::{body::Body, codegen::http::Request};

use super::rng::Rng;
use crate::harness::path;

/// A request with a message, or with what is left of it.
pub(super) fn request(
    rng: &mut Rng,
    method: &MethodDescriptor,
    mut message: Vec<u8>,
) -> Request<Body> {
    if rng.percent(20) {
        garble(rng, &mut message);
    }
    let body = if rng.percent(5) {
        misframe(rng, &message)
    } else {
        framed(0, message.len(), &message)
    };
    let mut path = path(method);
    if rng.percent(1) {
        path.push('X');
    }
    let mut request = Request::post(format!("/{path}")).header("te", "trailers");
    let content_type = if rng.percent(2) {
        *rng.one_of(&CONTENT_TYPES)
    } else {
        "application/grpc"
    };
    if !content_type.is_empty() {
        request = request.header("content-type", content_type);
    }
    if rng.percent(2) {
        let encoding = *rng.one_of(&["gzip", "br", "identity", "no-such"]);
        request = request.header("grpc-encoding", encoding);
    }
    let body = Body::new(axum::body::Body::from(body));
    request.body(body).expect("a request")
}

/// Bytes that may be no message any more.
fn garble(rng: &mut Rng, message: &mut Vec<u8>) {
    let place = rng.below(message.len() + 1);
    match rng.below(8) {
        0 => message.truncate(place),
        1 => *message = rng.bytes(place),
        2 => message.insert(place, 0xff),
        3 => {
            let more = rng.bytes(20);
            message.extend(more);
        }
        4 => message.extend(message.clone()),
        // Unknown groups, one in the other.
        5 => message.extend([0x9b, 0x06].repeat(5_000)),
        // The smallest items there are.
        6 => message.extend([0x0a, 0x00].repeat(100_000)),
        _ => {
            if let Some(byte) = message.get_mut(place) {
                *byte ^= 1 << rng.below(8);
            }
        }
    }
}

fn misframe(rng: &mut Rng, message: &[u8]) -> Vec<u8> {
    match rng.below(8) {
        0 => Vec::new(),
        1 => vec![0, 0],
        2 => framed(0, message.len() + 1, message),
        3 => framed(0, message.len() / 2, message),
        4 => framed(1, message.len(), message),
        5 => framed(7, message.len(), message),
        6 => framed(0, usize::try_from(u32::MAX).expect("64 bits"), message),
        _ => [
            framed(0, message.len(), message),
            framed(0, message.len(), message),
        ]
        .concat(),
    }
}

fn framed(flag: u8, length: usize, message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(length).expect("it fits");
    let mut frame = vec![flag];
    frame.extend(length.to_be_bytes());
    frame.extend(message);
    frame
}

const CONTENT_TYPES: [&str; 7] = [
    "",
    "application/grpc+proto",
    "application/grpc;charset=utf-8",
    "application/grpc+json",
    "application/json",
    "text/plain",
    "application/x-protobuf",
];
