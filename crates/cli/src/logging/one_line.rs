//! Events as one line each: what stands in their values must not look like another event, nor
//! reach a terminal.

use std::io::{self, Write};

/// Writes each event as one line. One event is one call of `write`.
pub(super) struct OneLine<W> {
    pub(super) out: W,
    /// Whether the formatter writes colours.
    pub(super) colours: bool,
}

impl<W: Write> Write for OneLine<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        match needs_escapes(event) {
            false => self.out.write_all(event)?,
            true => self
                .out
                .write_all(escaped(event, self.colours).as_bytes())?,
        }
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// Whether there may be something to escape. Most events are plain ASCII.
fn needs_escapes(event: &[u8]) -> bool {
    let line = event.strip_suffix(b"\n").unwrap_or(event);
    line.iter().any(|byte| !(b' '..=b'~').contains(byte))
}

fn escaped(event: &[u8], colours: bool) -> String {
    let text = String::from_utf8_lossy(event);
    let (line, end) = match text.strip_suffix('\n') {
        Some(line) => (line, "\n"),
        None => (&*text, ""),
    };
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in line.char_indices() {
        // The formatter escapes those of messages and of Debug, not those of Display.
        let is_colour = colours && c == '\u{1b}' && begins_with_colour(&line[at..]);
        if is_harmful(c) && !is_colour {
            escaped.extend(c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped + end
}

/// Whether a text begins with `ESC [ 1 ; 31 m`, which sets a colour and nothing else.
fn begins_with_colour(text: &str) -> bool {
    let parameters = text.strip_prefix("\u{1b}[");
    let end = parameters.map(|it| it.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';'));
    end.is_some_and(|end| end.starts_with('m'))
}

/// Control characters, other ends of lines, and what turns the direction of text.
fn is_harmful(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct SharedLog(Arc<Mutex<Vec<u8>>>);

    impl Write for SharedLog {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What the log has of an event with a value, whichever way the value is given.
    fn logged(value: &str, with_colours: bool) -> String {
        let log = SharedLog::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_ansi(with_colours)
            .with_writer(move || OneLine {
                out: writer.clone(),
                colours: with_colours,
            })
            .finish();
        tracing::subscriber::with_default(subscriber, || {
            tracing::info!(value, shown = %value, debug = ?value, "{value}");
        });
        let bytes = log.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn g17_an_event_is_one_line_whatever_its_values_have() {
        for value in [
            "a\nINFO forged: b",
            "a\r\nb",
            "a\u{b}b\u{c}c\u{85}d",
            "a\u{2028}b\u{2029}c",
            "\u{202e}txt.exe",
            "\u{9b}31m\u{7}\u{8}\0\u{7f}",
            "\u{1b}[2J\u{1b}]0;title\u{7}",
            "\u{1b}[31m\u{1b}[",
        ] {
            let text = logged(value, false);
            let line = text.strip_suffix('\n').expect("a line");
            assert!(!line.chars().any(is_harmful), "{line:?}");
            let coloured = logged(value, true);
            let line = coloured.strip_suffix('\n').expect("a line");
            let harms = |(at, c)| is_harmful(c) && !begins_with_colour(&line[at..]);
            assert!(!line.char_indices().any(harms), "{line:?}");
        }
        let plain = logged("a → b, ä", false);
        assert!(plain.contains("a → b, ä"), "{plain}");
    }
}
