//! What is called, since when, and until when the caller waits.

use std::time::Duration;

use axum::extract::Request;
use http::{HeaderMap, HeaderValue};
use tokio::time::Instant;

use super::method::{self, Method};

/// What is called, since when, and until when the caller waits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    pub(crate) method: &'static Method,
    pub(crate) at: Instant,
    /// The caller's deadline, or the server's if that is earlier. None for a
    /// stream whose caller set none.
    pub(crate) deadline: Option<Instant>,
}

/// Notes the arrival of each request. At once and not in a future, so that this
/// deadline is never later than the one that tonic sees in the same header.
pub(crate) fn note(timeout: Duration) -> impl Fn(Request) -> Request + Clone {
    move |mut request| {
        let method = method::find(request.uri().path());
        let asked = timeout_of(request.headers());
        let most = (!method.streams).then_some(timeout);
        let at = Instant::now();
        let wait = asked.into_iter().chain(most).min();
        request.extensions_mut().insert(Arrival {
            method,
            at,
            deadline: wait.and_then(|wait| at.checked_add(wait)),
        });
        request
    }
}

impl Arrival {
    /// That of a request, which every one has that came through [`note`].
    pub(crate) fn of(request: &Request) -> Self {
        let noted = request.extensions().get().copied();
        noted.unwrap_or_else(|| Self {
            method: method::find(request.uri().path()),
            at: Instant::now(),
            deadline: None,
        })
    }
}

/// How long the caller waits: `grpc-timeout` is up to eight digits and a unit.
/// One that cannot be read is none, as tonic has it.
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

    #[test]
    fn the_earlier_deadline_counts() {
        assert_eq!(wait(UNARY, None), Some(30_000));
        assert_eq!(wait(UNARY, Some("1S")), Some(1_000));
        assert_eq!(wait(UNARY, Some("200m")), Some(200));
        assert_eq!(wait(UNARY, Some("99999999H")), Some(30_000));
        assert_eq!(wait(STREAM, None), None);
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
        let arrival = Arrival::of(&note(Duration::from_secs(30))(request));
        let deadline = arrival.deadline?;
        Some((deadline - arrival.at).as_millis())
    }
}
