//! `viridian demo-replica`: what the demonstration deploys, a small web server that
//! answers with its version.

use std::{
    env, io,
    net::{Ipv4Addr, SocketAddr},
    process::ExitCode,
    time::Duration,
};

use axum::{Router, http::StatusCode, routing};
use clap::Args;
use tokio::{net::TcpListener, time::Instant};

use crate::{runtime, signals::StopSignals};

/// The flags of `viridian demo-replica`.
#[derive(Debug, Args)]
pub(crate) struct ReplicaArgs {
    /// Text to answer requests with.
    #[arg(long)]
    label: String,
    /// Never become healthy.
    #[arg(long)]
    sick: bool,
}

/// Why a replica failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReplicaError {
    #[error("the environment variable PORT must be a port number")]
    Port,
    #[error("cannot serve: {0}")]
    Serve(#[from] io::Error),
}

/// Serves on the port in the environment variable PORT, until SIGTERM.
pub(crate) fn run(args: &ReplicaArgs) -> Result<ExitCode, ReplicaError> {
    let port = env::var("PORT").ok().and_then(|port| port.parse().ok());
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port.ok_or(ReplicaError::Port)?));
    runtime::single_threaded()?.block_on(serve(address, args))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(address: SocketAddr, args: &ReplicaArgs) -> io::Result<()> {
    let mut signals = StopSignals::listen()?;
    let listener = TcpListener::bind(address).await?;
    let stop = async move {
        signals.next().await;
    };
    let healthy_from = (!args.sick).then(|| Instant::now() + WARM_UP);
    axum::serve(listener, router(args.label.clone(), healthy_from))
        // Open requests are answered: the demonstration counts each one that is not.
        .with_graceful_shutdown(stop)
        .await
}

fn router(label: String, healthy_from: Option<Instant>) -> Router {
    let health = move || async move {
        match healthy_from {
            Some(from) if Instant::now() >= from => (StatusCode::OK, "ok"),
            Some(_) => (StatusCode::SERVICE_UNAVAILABLE, "warming up"),
            None => (StatusCode::SERVICE_UNAVAILABLE, "sick"),
        }
    };
    Router::new()
        .route("/", routing::get(|| async move { label }))
        .route("/healthz", routing::get(health))
}

/// How long a running replica is not healthy yet. Long enough to be seen in the view.
const WARM_UP: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use std::net::{Ipv4Addr, SocketAddr};

    use tokio::{net::TcpListener, time::Instant};

    use super::{WARM_UP, router};

    /// Starts a replica. Returns its address.
    async fn replica(healthy_from: Option<Instant>) -> SocketAddr {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))
            .await
            .expect("a port");
        let address = listener.local_addr().expect("an address");
        let app = router("v7".to_owned(), healthy_from);
        tokio::spawn(async move { axum::serve(listener, app).await });
        address
    }

    async fn get(address: SocketAddr, path: &str) -> (u16, String) {
        let reply = reqwest::get(format!("http://{address}{path}"))
            .await
            .expect("an answer");
        (reply.status().as_u16(), reply.text().await.expect("a body"))
    }

    #[tokio::test]
    async fn answers_its_label_and_warms_up() {
        let cold = replica(Some(Instant::now() + 100 * WARM_UP)).await;
        assert_eq!(get(cold, "/").await, (200, "v7".to_owned()));
        assert_eq!(get(cold, "/healthz").await.0, 503);

        let warm = replica(Some(Instant::now())).await;
        assert_eq!(get(warm, "/healthz").await.0, 200);
    }

    #[tokio::test]
    async fn a_sick_one_answers_and_is_never_healthy() {
        let sick = replica(None).await;
        assert_eq!(get(sick, "/").await.0, 200);
        assert_eq!(get(sick, "/healthz").await.0, 503);
    }
}
