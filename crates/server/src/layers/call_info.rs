//! The called method, the time of arrival, and the deadline.

use std::time::Duration;

use axum::extract::Request;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use crate::rpc_method::RpcMethod;

/// The called method, the time of arrival, and the deadline.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CallInfo {
    pub(crate) method: &'static RpcMethod,
    pub(crate) at: Instant,
    /// The caller's deadline, or the server's if that is earlier. None for a
    /// stream whose caller set none.
    pub(crate) deadline: Option<Instant>,
}

/// Records the call of each request.
pub(crate) fn record(timeout: Duration) -> impl Fn(Request) -> Request + Clone {
    move |mut request| {
        let method = RpcMethod::at(request.uri().path());
        let asked = timeout_of(request.headers());
        // Reflection streams, but a few questions are all that it is for.
        let own = (!method.streams || method.is_reflection).then_some(timeout);
        let at = Instant::now();
        let wait = asked.into_iter().chain(own).min();
        request.extensions_mut().insert(CallInfo {
            method,
            at,
            // The largest valid timeout is beyond the range of an Instant: it is no limit.
            deadline: wait.and_then(|wait| at.checked_add(wait)),
        });
        request
    }
}

impl CallInfo {
    /// The call of a request. Every request that came through [`record`] has one.
    pub(crate) fn of(request: &Request) -> Self {
        let recorded = request.extensions().get().copied();
        recorded.unwrap_or_else(|| Self {
            method: RpcMethod::at(request.uri().path()),
            at: Instant::now(),
            deadline: None,
        })
    }
}

/// The caller's timeout: `grpc-timeout` is up to eight digits and a unit. None if it cannot
/// be read, as in tonic.
fn timeout_of(headers: &HeaderMap<HeaderValue>) -> Option<Duration> {
    let text = headers.get("grpc-timeout")?.to_str().ok()?;
    let (digits, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    let plain = digits.len() <= 8 && digits.bytes().all(|byte| byte.is_ascii_digit());
    let number: u64 = plain.then(|| digits.parse().ok())??;
    Some(match unit {
        "H" => Duration::from_secs(number * 60 * 60),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    const UNARY: &str = "/viridian.deployment.v1.DeploymentService/GetDeployment";
    const STREAM: &str = "/viridian.deployment.v1.TrafficService/WatchTraffic";

    const REFLECTION: &str = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo";

    #[test]
    fn the_earlier_deadline_counts() {
        assert_eq!(wait(UNARY, None), Some(30_000));
        assert_eq!(wait(UNARY, Some("1S")), Some(1_000));
        assert_eq!(wait(UNARY, Some("200m")), Some(200));
        assert_eq!(wait(UNARY, Some("99999999H")), Some(30_000));
        assert_eq!(wait(STREAM, None), None);
        assert_eq!(wait(REFLECTION, None), Some(30_000));
        assert_eq!(wait(STREAM, Some("2M")), Some(120_000));
    }

    #[test]
    fn what_is_no_timeout_is_none() {
        for text in ["", "S", "1", "1s", "+1S", "123456789S", "1.5S", "é"] {
            assert_eq!(wait(STREAM, Some(text)), None, "{text:?}");
        }
    }

    /// How many milliseconds a call may take.
    fn wait(path: &str, timeout: Option<&str>) -> Option<u128> {
        let mut request = Request::new(Body::empty());
        *request.uri_mut() = path.parse().expect("a path");
        if let Some(text) = timeout {
            let value = HeaderValue::from_bytes(text.as_bytes()).expect("a value");
            request.headers_mut().insert("grpc-timeout", value);
        }
        let call = CallInfo::of(&record(Duration::from_secs(30))(request));
        let deadline = call.deadline?;
        Some((deadline - call.at).as_millis())
    }
}
