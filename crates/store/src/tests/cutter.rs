//! A way to PostgreSQL that can be cut at a COMMIT, or fall silent.

use std::{
    collections::HashSet,
    io,
    net::Ipv4Addr,
    pin::pin,
    sync::{Arc, Mutex, PoisonError},
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf},
    select,
    sync::watch,
    task::AbortHandle,
};
use url::Url;

/// Where a connection is cut, in both directions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cut {
    /// The COMMIT does not get through.
    Before,
    /// The COMMIT is done, and its answer does not get back.
    Unanswered,
    /// The COMMIT gets through, and nobody waits to see what comes of it.
    AtOnce,
    /// It stays open, and nothing gets through any more.
    Silent,
}

/// Listens on loopback, and passes on what comes.
pub(super) struct Cutter {
    pub(super) url: String,
    next: Next,
    silent: watch::Sender<bool>,
    listening: AbortHandle,
}

/// What happens to the next COMMIT, on whichever connection it comes.
type Next = Arc<Mutex<Option<Cut>>>;

impl Cutter {
    pub(super) async fn before(server: &str) -> Self {
        let mut url = Url::parse(server).expect("a URL");
        let host = url.host_str().expect("a host").to_owned();
        let server = (host, url.port().unwrap_or(5432));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        url.set_host(Some("127.0.0.1")).expect("a host");
        url.set_port(Some(port)).expect("a port");
        // It has to read what passes.
        url.set_query(Some("sslmode=disable"));
        let next = Next::default();
        let silent = watch::Sender::new(false);
        let listening = tokio::spawn({
            let (next, silent) = (Arc::clone(&next), silent.subscribe());
            async move {
                while let Ok((client, _)) = listener.accept().await {
                    let server = TcpStream::connect(server.clone()).await;
                    let server = server.expect("the server answers");
                    // Cut, or ended by either side.
                    let (next, silent) = (Arc::clone(&next), silent.clone());
                    tokio::spawn(pass_on(client, server, next, silent));
                }
            }
        });
        Self {
            url: url.to_string(),
            next,
            silent,
            listening: listening.abort_handle(),
        }
    }

    /// Has nothing get through, on connections that are there and on new ones,
    /// which it takes all the same; or lets all of it through again.
    pub(super) fn silence(&self, silent: bool) {
        self.silent.send_replace(silent);
    }

    /// Cuts at the next COMMIT.
    pub(super) fn arm(&self, cut: Cut) {
        let earlier = lock(&self.next).replace(cut);
        assert_eq!(earlier, None, "the last cut was never made");
    }

    /// Whether the cut was made.
    pub(super) fn has_cut(&self) -> bool {
        lock(&self.next).is_none()
    }
}

impl Drop for Cutter {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// Returns when the connection is to be closed.
async fn pass_on(
    client: TcpStream,
    server: TcpStream,
    next: Next,
    mut silent: watch::Receiver<bool>,
) -> io::Result<()> {
    client.set_nodelay(true)?;
    server.set_nodelay(true)?;
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let mut answer = vec![0; 16 * 1024];
    let mut commits = Commits::default();
    let mut begun = false;
    loop {
        let frame = {
            let mut frame = pin!(frame(&mut from_client, begun));
            loop {
                select! {
                    read = from_server.read(&mut answer) => match read? {
                        0 => return Ok(()),
                        read => {
                            spoken(&mut silent).await;
                            to_client.write_all(&answer[..read]).await?;
                        }
                    },
                    frame = &mut frame => break frame?,
                }
            }
        };
        let is_commit = begun && commits.contain(&frame);
        begun = true;
        let mut frame = frame;
        if is_commit && frame[0] == b'E' {
            // It is done when it comes, and answered when the Sync behind it comes.
            frame.extend(self::frame(&mut from_client, begun).await?);
        }
        spoken(&mut silent).await;
        let cut = if is_commit { lock(&next).take() } else { None };
        if cut == Some(Cut::Before) {
            return Ok(());
        }
        to_server.write_all(&frame).await?;
        match cut {
            Some(Cut::Unanswered) => return committed(&mut from_server).await,
            Some(Cut::AtOnce) => return Ok(()),
            Some(Cut::Silent) => std::future::pending().await,
            Some(Cut::Before) | None => {}
        }
    }
}

/// Waits while nothing is to get through.
async fn spoken(silent: &mut watch::Receiver<bool>) {
    // It fails when the test is over.
    let _ = silent.wait_for(|silent| !silent).await;
}

/// A message of the protocol, whole. The first one has no letter.
async fn frame(client: &mut OwnedReadHalf, begun: bool) -> io::Result<Vec<u8>> {
    let mut frame = Vec::new();
    if begun {
        frame.push(client.read_u8().await?);
    }
    let length = client.read_u32().await?;
    frame.extend(length.to_be_bytes());
    let head = frame.len();
    let body = usize::try_from(length).map_err(io::Error::other)? - size_of::<u32>();
    frame.resize(head + body, 0);
    client.read_exact(&mut frame[head..]).await?;
    Ok(frame)
}

/// Knows the message by which a COMMIT is begun: a simple query, or the Execute
/// of a prepared one.
#[derive(Default)]
struct Commits {
    prepared: HashSet<Vec<u8>>,
    bound: bool,
}

impl Commits {
    fn contain(&mut self, frame: &[u8]) -> bool {
        let mut texts = frame[5..].split(|&byte| byte == 0);
        let first = texts.next().unwrap_or_default();
        let second = texts.next().unwrap_or_default();
        match frame[0] {
            b'Q' => first == b"COMMIT",
            b'P' if second == b"COMMIT" => {
                self.prepared.insert(first.to_vec());
                false
            }
            b'P' => {
                self.prepared.remove(first);
                false
            }
            b'B' => {
                self.bound = self.prepared.contains(second);
                false
            }
            b'E' => std::mem::take(&mut self.bound),
            _ => false,
        }
    }
}

/// Waits for the server's word that it has committed.
async fn committed(server: &mut OwnedReadHalf) -> io::Result<()> {
    let mut answer = Vec::new();
    while !answer.windows(7).any(|bytes| bytes == b"COMMIT\0") {
        if server.read_buf(&mut answer).await? == 0 {
            break;
        }
    }
    Ok(())
}

fn lock(next: &Next) -> std::sync::MutexGuard<'_, Option<Cut>> {
    next.lock().unwrap_or_else(PoisonError::into_inner)
}
