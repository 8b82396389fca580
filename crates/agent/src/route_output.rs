//! What a route writes, on its way to the agent's standard error: line by line, without
//! control characters, and no more than a bounded rate. What is left out is counted and said.
//!
//! A route never waits for it: if standard error is not read, lines are left out, too.

use std::{
    fmt::Write as _,
    io::{self, PipeReader, Read as _},
    sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    thread,
    time::{Duration, Instant},
};

/// Copies output until its end.
pub(crate) struct OutputCopier {
    /// Disconnected when all is written.
    written: Receiver<()>,
}

impl OutputCopier {
    /// Starts the threads that copy from a pipe to a sink.
    pub(crate) fn start(
        pipe: PipeReader,
        mut sink: impl io::Write + Send + 'static,
    ) -> io::Result<Self> {
        let (lines, queue) = sync_channel::<Vec<u8>>(MAX_WAITING_LINES);
        let (done, written) = sync_channel(0);
        thread::Builder::new().spawn(move || {
            for line in queue {
                // There is nowhere to say that standard error is gone.
                let _ = sink.write_all(&line);
            }
            drop(done);
        })?;
        thread::Builder::new().spawn(move || copy(pipe, &lines))?;
        Ok(Self { written })
    }

    /// Waits until all is written, but not for long: standard error may have no reader.
    pub(crate) fn finish(self) {
        let ended = self.written.recv_timeout(FLUSH_TIMEOUT);
        debug_assert!(matches!(
            ended,
            Err(RecvTimeoutError::Disconnected | RecvTimeoutError::Timeout)
        ));
    }
}

/// Reads to the end of the pipe, whatever becomes of the lines.
fn copy(mut pipe: PipeReader, lines: &SyncSender<Vec<u8>>) {
    let mut budget = ByteBudget::new(Instant::now());
    let mut buffer = [0; 8 * 1024];
    let mut line = Vec::new();
    let mut left_out = 0;
    loop {
        let count = match pipe.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => break,
        };
        for byte in &buffer[..count] {
            // A line without an end must not be kept for ever.
            if *byte != b'\n' {
                line.push(*byte);
            }
            if *byte == b'\n' || line.len() >= MAX_LINE_BYTES {
                send(&mut line, &mut left_out, &mut budget, lines);
            }
        }
    }
    if !line.is_empty() {
        send(&mut line, &mut left_out, &mut budget, lines);
    }
    if left_out > 0 {
        // Blocks if the log is not read: the wait for the end has a bound.
        let _ = lines.send(notice(left_out));
    }
}

/// Sends a line on its way, or counts it.
fn send(
    line: &mut Vec<u8>,
    left_out: &mut u64,
    budget: &mut ByteBudget,
    lines: &SyncSender<Vec<u8>>,
) {
    let bytes = line.len() as u64 + 1;
    let fits = budget.take(bytes, Instant::now());
    // Before the line, so that the gap is where it was.
    let said = *left_out == 0 || fits && lines.try_send(notice(*left_out)).is_ok();
    if said {
        *left_out = 0;
    }
    if !(fits && said && lines.try_send(escaped(line)).is_ok()) {
        *left_out += bytes;
    }
    line.clear();
}

fn notice(left_out: u64) -> Vec<u8> {
    format!("viridian: {left_out} bytes of a route's output were left out\n").into_bytes()
}

/// A line with its control characters as escapes, and those that turn the direction of text: a
/// route must not write into the lines of others, nor to the terminal that shows them.
fn escaped(line: &[u8]) -> Vec<u8> {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    let text = String::from_utf8_lossy(line);
    let mut escaped = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        let turns = matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if c.is_control() && c != '\t' || turns || matches!(c, '\u{2028}' | '\u{2029}') {
            // It cannot fail for a string.
            let _ = write!(escaped, "{}", c.escape_default());
        } else {
            escaped.push(c);
        }
    }
    escaped.push('\n');
    escaped.into_bytes()
}

/// Bytes that may be copied: a burst, and then a rate.
struct ByteBudget {
    bytes: u64,
    refilled_at: Instant,
}

impl ByteBudget {
    fn new(now: Instant) -> Self {
        Self {
            bytes: BURST_BYTES,
            refilled_at: now,
        }
    }

    fn take(&mut self, bytes: u64, now: Instant) -> bool {
        let passed = now.saturating_duration_since(self.refilled_at);
        let refill =
            u64::try_from(passed.as_millis()).unwrap_or(u64::MAX) / 1_000 * BYTES_PER_SECOND;
        // In whole seconds: a refill of a few bytes would let single lines through.
        if refill > 0 {
            self.bytes = self.bytes.saturating_add(refill).min(BURST_BYTES);
            self.refilled_at = now;
        }
        let fits = bytes <= self.bytes;
        if fits {
            self.bytes -= bytes;
        }
        fits
    }
}

const BURST_BYTES: u64 = 1024 * 1024;
const BYTES_PER_SECOND: u64 = 128 * 1024;
const MAX_LINE_BYTES: usize = 8 * 1024;
/// With [`MAX_LINE_BYTES`], 2 MiB at most.
const MAX_WAITING_LINES: usize = 256;
const FLUSH_TIMEOUT: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use std::{
        io::Write as _,
        sync::{Arc, Mutex},
    };

    use super::*;

    #[derive(Clone, Default)]
    struct SharedSink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for SharedSink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().expect("no panic").extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// What is copied of what a route writes.
    fn copied(written: &[u8]) -> String {
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let sink = SharedSink::default();
        let copier = OutputCopier::start(reader, sink.clone()).expect("threads");
        writer.write_all(written).expect("it is read");
        drop(writer);
        copier.finish();
        let bytes = sink.0.lock().expect("no panic").clone();
        String::from_utf8(bytes).expect("text")
    }

    #[test]
    fn g17_what_a_route_writes_stays_in_its_lines() {
        assert_eq!(copied(b""), "");
        assert_eq!(copied(b"one\n\ttwo\r\n\nthree"), "one\n\ttwo\n\nthree\n");
        assert_eq!(
            copied(b"a\x1b[2Jb\rc\x07\x00\xc2\x9b31m \xe2\x80\xae \xff\n"),
            "a\\u{1b}[2Jb\\rc\\u{7}\\u{0}\\u{9b}31m \\u{202e} \u{fffd}\n"
        );
    }

    #[test]
    fn g14_a_route_that_writes_too_much_is_cut_and_that_is_said() {
        let flood = format!("{}\n", "x".repeat(1_000)).repeat(20_000);
        let text = copied(flood.as_bytes());
        let bound = BURST_BYTES + 60 * BYTES_PER_SECOND;
        assert!((text.len() as u64) < bound, "{} bytes", text.len());
        assert!(text.contains("bytes of a route's output were left out"));
        let left_out: u64 = text
            .lines()
            .filter_map(|line| {
                line.strip_prefix("viridian: ")?
                    .split(' ')
                    .next()?
                    .parse::<u64>()
                    .ok()
            })
            .sum();
        let copied = text.lines().filter(|line| line.starts_with('x')).count() as u64;
        assert_eq!(left_out + copied * 1_001, flood.len() as u64);
        // Without a single line break.
        let text = copied_of_zeros();
        assert!((text.len() as u64) < 6 * bound, "{} bytes", text.len());
    }

    fn copied_of_zeros() -> String {
        copied(&vec![b'y'; 20_000_000])
    }

    #[test]
    fn g14_a_route_does_not_wait_for_who_does_not_read() {
        struct Stuck(Receiver<()>);
        impl io::Write for Stuck {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                // Until the test has ended.
                let _ = self.0.recv();
                Ok(bytes.len())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let (reader, mut writer) = io::pipe().expect("a pipe");
        let (end, until) = sync_channel(0);
        let copier = OutputCopier::start(reader, Stuck(until)).expect("threads");
        for _ in 0..10_000 {
            writer.write_all(&[b'x'; 1_000]).expect("it is read");
        }
        drop(writer);
        copier.finish();
        drop(end);
    }
}
