//! Log lines on their way to stderr. A pipe without a reader takes 64 KiB and then blocks
//! its writer: so a thread of its own writes, and what it cannot keep up with is dropped and
//! counted. No other thread ever waits for stderr.

use std::{
    io::{self, Write},
    mem,
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    thread,
    time::Duration,
};

use tracing_subscriber::fmt::MakeWriter;

/// Takes log lines without waiting. Cheap to clone.
#[derive(Clone)]
pub(super) struct LineWriter(Arc<SharedQueue>);

struct SharedQueue {
    queue: Mutex<LineQueue>,
    /// Signaled when a line was added, and when all were written.
    changed: Condvar,
}

#[derive(Default)]
struct LineQueue {
    bytes: Vec<u8>,
    dropped: u64,
    /// Whether taken lines are not written yet.
    is_writing: bool,
}

impl LineWriter {
    /// Starts the thread that writes to `sink`. `report` gets the number of lines that were
    /// dropped, as soon as the sink takes lines again.
    pub(super) fn start(
        mut sink: impl Write + Send + 'static,
        report: impl Fn(u64) + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(SharedQueue {
            queue: Mutex::default(),
            changed: Condvar::new(),
        });
        let writer = Self(Arc::clone(&shared));
        thread::Builder::new()
            .name("log-writer".to_owned())
            .spawn(move || {
                loop {
                    let (bytes, dropped) = shared.take();
                    // There is nowhere to say that stderr is gone.
                    let _ = sink.write_all(&bytes).and_then(|()| sink.flush());
                    // Not under the lock: what reports adds a line itself.
                    if dropped > 0 {
                        report(dropped);
                    }
                    shared.note_written();
                }
            })?;
        Ok(writer)
    }

    /// Waits until all lines are written, or the time is over.
    pub(super) fn flush(&self, at_most: Duration) {
        let queue = self.0.lock();
        // What is left at the timeout is lost with the process: it has no reader.
        let _ = self.0.changed.wait_timeout_while(queue, at_most, |queue| {
            queue.is_writing || !queue.bytes.is_empty()
        });
    }

    /// Adds a line, or counts it as dropped when too much waits.
    pub(super) fn add(&self, line: &[u8]) {
        let mut queue = self.0.lock();
        if queue.bytes.len() + line.len() > MAX_WAITING_BYTES {
            queue.dropped += 1;
            return;
        }
        queue.bytes.extend_from_slice(line);
        drop(queue);
        self.0.changed.notify_all();
    }
}

impl SharedQueue {
    fn lock(&self) -> MutexGuard<'_, LineQueue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes what waits, and how many lines were dropped before it was taken.
    fn take(&self) -> (Vec<u8>, u64) {
        let idle = |queue: &mut LineQueue| queue.bytes.is_empty();
        let waited = self.changed.wait_while(self.lock(), idle);
        let mut queue = waited.unwrap_or_else(PoisonError::into_inner);
        queue.is_writing = true;
        (mem::take(&mut queue.bytes), mem::take(&mut queue.dropped))
    }

    fn note_written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }
}

/// One event is one call of `write`.
impl Write for LineWriter {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.add(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for LineWriter {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// A few thousand lines: more than any burst of a server whose log is read.
const MAX_WAITING_BYTES: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// A sink that takes one write for each permission, and notes what it took.
    struct BlockedPipe {
        permissions: Receiver<()>,
        written: Arc<Mutex<Vec<u8>>>,
    }

    impl Write for BlockedPipe {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            // Without a permission to come, it takes everything.
            let _ = self.permissions.recv();
            self.written.lock().expect("no panic").extend(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    struct WriterCase {
        writer: LineWriter,
        permissions: Sender<()>,
        written: Arc<Mutex<Vec<u8>>>,
        reported: Arc<Mutex<Vec<u64>>>,
    }

    fn blocked() -> WriterCase {
        let (permissions, receiver) = channel();
        let written = Arc::<Mutex<Vec<u8>>>::default();
        let reported = Arc::<Mutex<Vec<u64>>>::default();
        let pipe = BlockedPipe {
            permissions: receiver,
            written: Arc::clone(&written),
        };
        let reports = Arc::clone(&reported);
        let report = move |dropped| reports.lock().expect("no panic").push(dropped);
        WriterCase {
            writer: LineWriter::start(pipe, report).expect("a thread"),
            permissions,
            written,
            reported,
        }
    }

    #[test]
    fn e9_a_sink_that_blocks_stops_nobody_and_what_it_cost_is_counted() {
        let case = blocked();
        let line = [b'x'; 1023];
        // The thread may take some of them before it blocks.
        for _ in 0..4096 {
            case.writer.add(&[&line[..], b"\n"].concat());
        }
        // It would have ended if it waited: nothing is read.
        case.writer.flush(Duration::from_millis(10));
        assert!(case.written.lock().expect("no panic").is_empty());

        drop(case.permissions);
        case.writer.flush(Duration::from_secs(30));
        let written = case.written.lock().expect("no panic").len() / 1024;
        case.writer.add(b"later\n");
        case.writer.flush(Duration::from_secs(30));
        let dropped: u64 = case.reported.lock().expect("no panic").iter().sum();
        assert!(dropped > 0);
        assert_eq!(u64::try_from(written).expect("few") + dropped, 4096);
        assert!(case.written.lock().expect("no panic").ends_with(b"later\n"));
    }

    #[test]
    fn e9_lines_are_whole_and_in_order_while_the_sink_keeps_up() {
        let case = blocked();
        drop(case.permissions);
        let mut expected = String::new();
        for number in 0..1000 {
            let line = format!("line {number}\n");
            case.writer
                .clone()
                .write_all(line.as_bytes())
                .expect("it takes all");
            expected.push_str(&line);
            // Fewer bytes than it keeps: nothing may be lost.
        }
        case.writer.flush(Duration::from_secs(30));
        let written = case.written.lock().expect("no panic").clone();
        assert_eq!(String::from_utf8(written).expect("UTF-8"), expected);
        assert!(case.reported.lock().expect("no panic").is_empty());
    }
}
