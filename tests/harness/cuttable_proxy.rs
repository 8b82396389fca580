use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::broadcast,
    task::JoinHandle,
};

/// A TCP proxy whose connections can be cut. It accepts new ones at once.
pub(crate) struct CuttableProxy {
    address: SocketAddr,
    cut: broadcast::Sender<()>,
    worker: JoinHandle<()>,
}

impl CuttableProxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let cut = broadcast::Sender::new(1);
        let worker = tokio::spawn(accept(listener, server, cut.clone()));
        Self {
            address,
            cut,
            worker,
        }
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends all connections that there are. Gives how many.
    pub(crate) fn cut(&self) -> usize {
        // Nobody hears it when there are none.
        self.cut.send(()).unwrap_or_default()
    }
}

impl Drop for CuttableProxy {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn accept(listener: TcpListener, server: SocketAddr, cut: broadcast::Sender<()>) {
    while let Ok((mut client, _)) = listener.accept().await {
        let mut cut = cut.subscribe();
        tokio::spawn(async move {
            if let Ok(mut server) = TcpStream::connect(server).await {
                tokio::select! {
                    // However it ends, it is over.
                    _ = copy_bidirectional(&mut client, &mut server) => {}
                    _ = cut.recv() => {}
                }
            }
        });
    }
}
