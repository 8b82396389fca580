//! What becomes of a message on its way: bytes that are no message, frames that
//! are none, headers that say something else.

use prost_reflect::MethodDescriptor;
use tonic::{
    body::Body,
    codegen::http::{HeaderValue, Request, request::Builder},
};

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
    if rng.percent(10) {
        request = misname(rng, request);
    }
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

/// Metadata that is malformed, is not the caller's to set, or is too much.
fn misname(rng: &mut Rng, mut request: Builder) -> Builder {
    match rng.below(4) {
        // Below what HTTP/2 takes for all headers of a request.
        0 => {
            for number in 0..80 {
                request = request.header(format!("x-many-{number}"), "v");
            }
        }
        1 => request = request.header("x-long", "v".repeat(8_000)),
        _ => {
            for _ in 0..=rng.below(3) {
                let (name, value) = *rng.one_of(&METADATA);
                let value = HeaderValue::from_bytes(value).expect(name);
                request = request.header(name, value);
            }
        }
    }
    request
}

/// Bytes that may be no message any more.
fn garble(rng: &mut Rng, message: &mut Vec<u8>) {
    let place = rng.below(message.len() + 1);
    match rng.below(11) {
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
        7 => {
            // Texts that are no UTF-8: a surrogate, a spelling that is too long, half a letter.
            let wrong = rng.one_of(&[[0xed, 0xa0, 0x80], [0xc0, 0xaf, 0x41], [0xe2, 0x82, 0x41]]);
            let mut letters = message.windows(3).enumerate().skip(place);
            let is_text = |part: &[u8]| part.iter().all(u8::is_ascii_alphanumeric);
            if let Some((at, _)) = letters.find(|(_, part)| is_text(part)) {
                message[at..at + 3].copy_from_slice(wrong);
            }
        }
        // Unknown fields: a number, a text, eight bytes.
        8 => message.extend([
            0x80, 0x7d, 0x01, 0x82, 0x7d, 0x01, 0x78, 0x81, 0x7d, 1, 2, 3, 4, 5, 6, 7, 8,
        ]),
        // A length that is longer than what follows, and one beyond 64 bits.
        9 => message.extend([&[0x0a][..], &[0xff; 9], &[0x01]].concat()),
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

/// No deadline that passes: the client's library keeps those itself.
const METADATA: [(&str, &[u8]); 24] = [
    ("authorization", b""),
    ("authorization", b"Bearer "),
    ("authorization", b"Bearer \xff\xfe"),
    ("authorization", b"Basic dmlyOmlk"),
    ("grpc-timeout", b""),
    ("grpc-timeout", b"1H"),
    ("grpc-timeout", b"99999999H"),
    ("grpc-timeout", b"999999999S"),
    ("grpc-timeout", b"-1S"),
    ("grpc-timeout", b"1x"),
    ("grpc-accept-encoding", b"zstd,,gzip;q=,\xff"),
    ("grpc-message-type", b"\xf0\x9f\xa6\x80"),
    (
        "traceparent",
        b"00-00000000000000000000000000000000-0000000000000000-01",
    ),
    (
        "traceparent",
        b"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
    ),
    ("traceparent", b"\xff"),
    ("tracestate", b",,=,\xff="),
    ("x-request-id", b""),
    ("x-request-id", b"\x80\x81 forged\tid"),
    ("x-data-bin", b"%%%"),
    ("origin", b"null"),
    ("origin", b"https://elsewhere.example"),
    ("origin", b"\xff"),
    ("x-forwarded-for", b"10.0.0.1, \xff"),
    ("user-agent", b"\xe2\x80\xae agent"),
];
const CONTENT_TYPES: [&str; 7] = [
    "",
    "application/grpc+proto",
    "application/grpc;charset=utf-8",
    "application/grpc+json",
    "application/json",
    "text/plain",
    "application/x-protobuf",
];
