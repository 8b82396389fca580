//! What the transport refuses by itself, before a method is reached, said in the
//! words of the contract.
//!
//! tonic answers bytes that are no request with INTERNAL, because its codec
//! cannot tell a server from a client. That would blame us: it is the caller who
//! sent them. A codec of our own would not do, since truncated frames, bad flags
//! and missing messages never reach one. What comes without details is not from
//! a method, since each of ours has an ErrorInfo; so this layer, between the
//! transport and the services, goes by that and by the code, and by no text.

use std::task::{Context, Poll};

use futures::future::{Either, MapOk, Ready, TryFutureExt as _, ready};
use tonic::{
    Code, Status,
    body::Body,
    codegen::{
        Service,
        http::{Request, Response, StatusCode, header::CONTENT_TYPE},
    },
};

use crate::error;

/// The services, with answers in the words of the contract.
#[derive(Clone, Debug)]
pub(crate) struct Refuse<S>(pub(crate) S);

type Answer = Response<Body>;

impl<S> Service<Request<Body>> for Refuse<S>
where
    S: Service<Request<Body>, Response = Answer>,
{
    type Response = Answer;
    type Error = S::Error;
    type Future = Either<Ready<Result<Answer, S::Error>>, MapOk<S::Future, fn(Answer) -> Answer>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.0.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if is_grpc(&request) {
            let answer = self.0.call(request);
            Either::Right(answer.map_ok(reword as fn(Answer) -> Answer))
        } else {
            // As the gRPC protocol has it, for callers that speak only HTTP.
            let mut answer = error::not_grpc().into_http();
            *answer.status_mut() = StatusCode::UNSUPPORTED_MEDIA_TYPE;
            Either::Left(ready(Ok(answer)))
        }
    }
}

/// Whether a request claims to be what we can read.
fn is_grpc(request: &Request<Body>) -> bool {
    let stated = request.headers().get(CONTENT_TYPE);
    let stated = stated.and_then(|stated| stated.to_str().ok());
    stated.is_some_and(|stated| {
        let kind = stated.split(';').next().unwrap_or_default().trim();
        KINDS.iter().any(|known| kind.eq_ignore_ascii_case(known))
    })
}

fn reword(answer: Answer) -> Answer {
    let status = Status::from_header_map(answer.headers());
    match status {
        Some(status) if status.details().is_empty() => match refusal(&status) {
            Some(refusal) => refusal.into_http(),
            None => answer,
        },
        _ => answer,
    }
}

/// What a status without details means. None for codes that the transport does
/// not give by itself.
fn refusal(status: &Status) -> Option<Status> {
    match status.code() {
        Code::Internal => Some(error::malformed(status.message())),
        Code::OutOfRange => Some(error::too_large(status.message())),
        Code::Unimplemented => Some(error::unknown_method(status.message())),
        _ => None,
    }
}

const KINDS: [&str; 2] = ["application/grpc", "application/grpc+proto"];
