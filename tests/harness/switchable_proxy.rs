use std::net::SocketAddr;

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinHandle,
};

/// A TCP proxy whose server can be switched, like a load balancer. Ends when it is
/// dropped.
pub(crate) struct SwitchableProxy {
    address: SocketAddr,
    to: watch::Sender<SocketAddr>,
    worker: JoinHandle<()>,
}

impl SwitchableProxy {
    pub(crate) async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (to, mut from) = watch::channel(server);
        let worker = tokio::spawn(async move {
            while let Ok((mut caller, _)) = listener.accept().await {
                let server = *from.borrow_and_update();
                let mut turned = from.clone();
                tokio::spawn(async move {
                    let Ok(mut server) = TcpStream::connect(server).await else {
                        return;
                    };
                    tokio::select! {
                        _ = copy_bidirectional(&mut caller, &mut server) => {}
                        _ = turned.changed() => {}
                    }
                });
            }
        });
        Self {
            address,
            to,
            worker,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Cuts all connections, and sends new ones to another server.
    pub(crate) fn switch_to(&self, server: SocketAddr) {
        self.to.send_replace(server);
    }
}

impl Drop for SwitchableProxy {
    fn drop(&mut self) {
        self.worker.abort();
    }
}
