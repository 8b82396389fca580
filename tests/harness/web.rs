//! gRPC-Web by hand: a client that has no opinion of its own.

use prost::Message;
use reqwest::{
    Method, Response,
    header::{HeaderMap, HeaderName},
};

use super::{Server, WAIT_TIMEOUT};

/// Calls, with more headers.
pub(crate) async fn call(
    server: &Server,
    method: &str,
    message: &impl Message,
    headers: &[(&str, &str)],
) -> Response {
    let mut request = request(server, method, message);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let reply = request.send().await.expect("an answer");
    assert_eq!(reply.status().as_u16(), 200, "{reply:?}");
    reply
}

/// A call in the one frame that gRPC-Web has for it.
pub(crate) fn request(
    server: &Server,
    method: &str,
    message: &impl Message,
) -> reqwest::RequestBuilder {
    let message = message.encode_to_vec();
    let length = u32::try_from(message.len()).expect("a small one");
    let body = [&[0], &length.to_be_bytes()[..], &message].concat();
    ask(server, Method::POST, method)
        .header("content-type", "application/grpc-web+proto")
        .header("x-grpc-web", "1")
        .body(body)
}

/// Anything else that HTTP can ask of a method.
pub(crate) fn ask(server: &Server, verb: Method, method: &str) -> reqwest::RequestBuilder {
    let url = format!("{}/viridian.deployment.v1.{method}", server.url());
    reqwest::Client::new()
        .request(verb, url)
        .timeout(WAIT_TIMEOUT)
}

/// The last message of a reply, if there is one, and its trailers.
pub(crate) async fn frames(reply: Response) -> (Option<Vec<u8>>, HeaderMap) {
    let body = reply.bytes().await.expect("a body");
    let (mut rest, mut message) = (&body[..], None);
    while let Some((&[flag, a, b, c, d], after)) = rest.split_first_chunk() {
        let length = u32::from_be_bytes([a, b, c, d])
            .try_into()
            .expect("a length");
        let (frame, after) = after.split_at(length);
        if flag & 0x80 != 0 {
            return (message, trailers(frame));
        }
        message = Some(frame.to_vec());
        rest = after;
    }
    panic!("no trailers: {body:?}");
}

fn trailers(frame: &[u8]) -> HeaderMap {
    let text = std::str::from_utf8(frame).expect("text");
    let lines = text.split("\r\n").filter(|line| !line.is_empty());
    let fields = lines.map(|line| {
        let (name, value) = line.split_once(':').expect("NAME:VALUE");
        let name: HeaderName = name.parse().expect("a name");
        (name, value.trim().parse().expect("a value"))
    });
    fields.collect()
}
