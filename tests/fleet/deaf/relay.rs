use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};
use url::Url;

/// A way to PostgreSQL by which no notification gets through.
pub(super) struct LossyRelay {
    url: String,
    lost: Arc<AtomicUsize>,
    worker: JoinHandle<()>,
}

impl LossyRelay {
    pub(super) async fn before(server: &Url) -> Self {
        let addresses = server.socket_addrs(|| None).expect("an address");
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let mut url = server.clone();
        url.set_port(Some(port)).expect("a port");
        // It has to read what passes.
        url.set_query(Some("sslmode=disable"));
        let lost = Arc::default();
        let worker = tokio::spawn(accept(listener, addresses[0], Arc::clone(&lost)));
        Self {
            url: url.into(),
            lost,
            worker,
        }
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// How many notifications did not get through.
    pub(super) fn lost(&self) -> usize {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for LossyRelay {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, lost: Arc<AtomicUsize>) {
    while let Ok((client, _)) = listener.accept().await {
        let lost = Arc::clone(&lost);
        tokio::spawn(async move {
            let server = TcpStream::connect(server).await?;
            client.set_nodelay(true)?;
            server.set_nodelay(true)?;
            let (mut from_client, to_client) = client.into_split();
            let (from_server, mut to_server) = server.into_split();
            tokio::select! {
                // However it ends, it is over.
                _ = copy(&mut from_client, &mut to_server) => Ok(()),
                ended = answers(from_server, to_client, &lost) => ended,
            }
        });
    }
}

/// Passes on all messages of the server but those that notify.
async fn answers(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    lost: &AtomicUsize,
) -> io::Result<()> {
    loop {
        let letter = from.read_u8().await?;
        let length = from.read_u32().await?;
        let size = usize::try_from(length).map_err(io::Error::other)?;
        let mut message = vec![letter];
        message.extend(length.to_be_bytes());
        message.resize(1 + size, 0);
        from.read_exact(&mut message[5..]).await?;
        if letter == NOTIFICATION {
            lost.fetch_add(1, Ordering::Relaxed);
        } else {
            to.write_all(&message).await?;
        }
    }
}

const NOTIFICATION: u8 = b'A';
