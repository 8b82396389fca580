//! Calls as bytes of HTTP/2: begun, and not ended.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, AtomicU32, Ordering},
    },
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpSocket,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
    time::{sleep, timeout},
};

use crate::harness::{Server, eventually, within};

/// The start of a call.
#[derive(Clone, Debug)]
pub(super) struct Request {
    headers: Vec<u8>,
    /// A whole message, or a part of one that says it is larger.
    body: Option<Vec<u8>>,
    is_whole: bool,
}

/// Connections that stay open.
#[derive(Default)]
pub(super) struct Flood(Vec<FloodConnection>);

/// A connection with calls of which none is ended by its caller.
pub(super) struct FloodConnection {
    writing: OwnedWriteHalf,
    /// Keeps the other half open if nobody reads.
    _unread: Option<OwnedReadHalf>,
    reading: Option<JoinHandle<()>>,
    next_stream: u32,
    begun: u32,
    ended: Arc<AtomicU32>,
    /// Bytes that the server takes on this connection.
    window: Arc<AtomicI64>,
}

impl Request {
    pub(super) fn new(path: &str) -> Self {
        let request = Self {
            headers: Vec::new(),
            body: None,
            is_whole: false,
        };
        request
            .header(":method", "POST")
            .header(":scheme", "http")
            .header(":path", path)
            .header(":authority", "localhost")
            .header("content-type", "application/grpc")
            .header("te", "trailers")
    }

    /// As a literal that is not indexed: HPACK then needs no state.
    pub(super) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push(0);
        for text in [name, value] {
            push_length(&mut self.headers, text.len());
            self.headers.extend_from_slice(text.as_bytes());
        }
        self
    }

    /// With a whole message.
    pub(super) fn message(mut self, bytes: &[u8]) -> Self {
        self.body = Some(framed(bytes, bytes.len()));
        self.is_whole = true;
        self
    }

    /// With so many bytes of a message that says how large it is.
    pub(super) fn message_part(mut self, bytes: usize, of: usize) -> Self {
        if bytes > 0 {
            self.body = Some(framed(&vec![0; bytes], of));
        }
        self
    }
}

impl Flood {
    pub(super) fn add(&mut self, connection: FloodConnection) {
        self.0.push(connection);
    }

    /// Waits until no more than so many calls are unanswered.
    pub(super) async fn answered_but(&self, most: u32) {
        eventually(format!("answers but {most}"), async || {
            let unanswered: u32 = self.0.iter().map(FloodConnection::unanswered).sum();
            (unanswered <= most).then_some(())
        })
        .await;
    }

    /// Lets it last for a while.
    pub(super) async fn goes_on(&self, time: Duration) {
        assert!(!self.0.is_empty());
        sleep(time).await;
    }
}

impl FloodConnection {
    pub(super) async fn open(server: &Server, from: &str, reads: bool) -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let from = format!("{from}:0").parse().expect("an address");
        socket.bind(from).expect("all of 127/8 are this machine's");
        let stream = within("a connection", socket.connect(server.address())).await;
        let (reading, mut writing) = stream.expect("a connection").into_split();
        // The server's own settings apply once they are acknowledged.
        let begin = [
            PREFACE,
            &frame(SETTINGS, 0, 0, &[]),
            &frame(SETTINGS, ACK, 0, &[]),
        ]
        .concat();
        writing.write_all(&begin).await.expect("it is taken");
        let ended = Arc::new(AtomicU32::new(0));
        let window = Arc::new(AtomicI64::new(65_535));
        let (reading, unread) = match reads {
            true => {
                let read = read(reading, Arc::clone(&ended), Arc::clone(&window));
                (Some(tokio::spawn(read)), None)
            }
            false => (None, Some(reading)),
        };
        Self {
            writing,
            _unread: unread,
            reading,
            next_stream: 1,
            begun: 0,
            ended,
            window,
        }
    }

    /// Begins calls. Those that the server does not take, since it has closed the
    /// connection or reads no more, are given up.
    pub(super) async fn begin_calls(&mut self, request: &Request, calls: u32) {
        for _ in 0..calls {
            let begun = timeout(Duration::from_secs(2), self.begin_call(request)).await;
            if !matches!(begun, Ok(Ok(()))) {
                return;
            }
        }
    }

    async fn begin_call(&mut self, request: &Request) -> std::io::Result<()> {
        let stream = self.next_stream;
        self.next_stream += 2;
        self.begun += 1;
        let headers = frame(HEADERS, END_HEADERS, stream, &request.headers);
        self.writing.write_all(&headers).await?;
        let mut parts = request.body.iter().flat_map(|body| body.chunks(16_384));
        let mut part = parts.next();
        while let Some(bytes) = part {
            part = parts.next();
            let size = i64::try_from(bytes.len()).expect("a size of a frame");
            while self.window.load(Ordering::Relaxed) < size {
                sleep(Duration::from_millis(1)).await;
            }
            self.window.fetch_sub(size, Ordering::Relaxed);
            let flags = if request.is_whole && part.is_none() {
                END_STREAM
            } else {
                0
            };
            self.writing
                .write_all(&frame(DATA, flags, stream, bytes))
                .await?;
        }
        Ok(())
    }

    /// Waits until all that was begun has ended.
    pub(super) async fn answered(&self) {
        eventually("answers", async || (self.unanswered() == 0).then_some(())).await;
    }

    /// None when the connection has ended.
    fn unanswered(&self) -> u32 {
        match self.reading.as_ref().is_some_and(JoinHandle::is_finished) {
            true => 0,
            false => self.begun - self.ended.load(Ordering::Relaxed),
        }
    }
}

impl Drop for FloodConnection {
    fn drop(&mut self) {
        if let Some(reading) = &self.reading {
            reading.abort();
        }
    }
}

/// Reads frames to the end of the connection, and counts the streams that end.
async fn read(mut reading: OwnedReadHalf, ended: Arc<AtomicU32>, window: Arc<AtomicI64>) {
    loop {
        let mut head = [0; 9];
        if reading.read_exact(&mut head).await.is_err() {
            return;
        }
        let [a, b, c, kind, flags, ..] = head;
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        let mut payload = vec![0; length];
        if reading.read_exact(&mut payload).await.is_err() {
            return;
        }
        if kind == HEADERS && flags & END_STREAM != 0 {
            ended.fetch_add(1, Ordering::Relaxed);
        }
        if let (WINDOW_UPDATE, [_, _, _, 0], Ok(more)) = (kind, &head[5..], payload.try_into()) {
            window.fetch_add(u32::from_be_bytes(more).into(), Ordering::Relaxed);
        }
    }
}

fn framed(bytes: &[u8], size: usize) -> Vec<u8> {
    let size = u32::try_from(size).expect("a size of a message");
    [&[0][..], &size.to_be_bytes(), bytes].concat()
}

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("a size of a frame");
    let head = [
        &length.to_be_bytes()[1..],
        &[kind, flags],
        &stream.to_be_bytes(),
    ];
    [&head.concat(), payload].concat()
}

/// The length of a string of HPACK: seven bits, and more in bytes that follow.
fn push_length(bytes: &mut Vec<u8>, length: usize) {
    let mut rest = match length.checked_sub(127) {
        None => return bytes.push(length as u8),
        Some(rest) => rest,
    };
    bytes.push(127);
    while rest >= 128 {
        bytes.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    bytes.push(rest as u8);
}

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const WINDOW_UPDATE: u8 = 8;
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
