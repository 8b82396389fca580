//! The W3C trace context: the trace of a call, and the caller's span.

use http::HeaderMap;

/// The trace and the span of the caller, in lower-case hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TraceParent<'a> {
    pub(crate) trace_id: &'a str,
    pub(crate) parent_id: &'a str,
    /// Whether the caller records its spans.
    pub(crate) sampled: bool,
}

/// Reads `traceparent`. None if it is not well-formed.
pub(crate) fn read(headers: &HeaderMap) -> Option<TraceParent<'_>> {
    let mut values = headers.get_all("traceparent").iter();
    // Of two headers one is forged or stale, and which one is not known.
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let mut parts = value.to_str().ok()?.split('-');
    // The specification forbids the version ff.
    let version = parts.next().filter(|it| is_hex(it, 2) && *it != "ff")?;
    let trace_id = parts.next().filter(|it| is_id(it, 32))?;
    let parent_id = parts.next().filter(|it| is_id(it, 16))?;
    let flags = parts.next().filter(|it| is_hex(it, 2))?;
    // Later versions may have more fields.
    if version == "00" && parts.next().is_some() {
        return None;
    }
    Some(TraceParent {
        trace_id,
        parent_id,
        sampled: u8::from_str_radix(flags, 16).ok()? & 1 == 1,
    })
}

fn is_id(text: &str, length: usize) -> bool {
    // All zeros stand for no id.
    is_hex(text, length) && text.bytes().any(|byte| byte != b'0')
}

fn is_hex(text: &str, length: usize) -> bool {
    let digit = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.len() == length && text.bytes().all(digit)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const PARENT: &str = "00f067aa0ba902b7";

    #[test]
    fn reads_what_the_specification_shows() {
        for (text, sampled) in [
            (format!("00-{TRACE}-{PARENT}-01"), true),
            (format!("00-{TRACE}-{PARENT}-02"), false),
            (
                format!("cc-{TRACE}-{PARENT}-00-what-the-future-will-be-like"),
                false,
            ),
        ] {
            let headers = headers([&text]);
            let expected = Some(TraceParent {
                trace_id: TRACE,
                parent_id: PARENT,
                sampled,
            });
            assert_eq!(read(&headers), expected, "{text}");
        }
    }

    #[test]
    fn passes_over_what_is_none() {
        let upper = TRACE.to_uppercase();
        let whole = format!("00-{TRACE}-{PARENT}-01");
        for text in [
            String::new(),
            format!("ff-{TRACE}-{PARENT}-01"),
            format!("00-{upper}-{PARENT}-01"),
            format!("00-{}-{PARENT}-01", "0".repeat(32)),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{TRACE}-{PARENT}"),
            format!("{whole}-more"),
        ] {
            assert_eq!(read(&headers([&text])), None, "{text}");
        }
        assert_eq!(read(&headers([&whole, &whole])), None, "one of them lies");
    }

    fn headers<const N: usize>(values: [&str; N]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_str(text).expect("a value");
        let fields = values.map(|text| (http::HeaderName::from_static("traceparent"), value(text)));
        let mut headers = HeaderMap::new();
        for (name, value) in fields {
            headers.append(name, value);
        }
        headers
    }
}
