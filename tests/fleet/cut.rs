//! The connections of a server to its database are cut, again and again.

use std::time::Duration;

use tokio::time::interval;
use url::Url;

use super::fault_case::FaultCase;
use crate::harness::{CuttableProxy, Engine, Server, ServerUrls, count};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_rollout_ends_once_though_connections_are_cut() {
    let sound = Server::start(Engine::Postgres).await;
    let url: Url = sound.database().url().parse().expect("a URL");
    let addresses = url.socket_addrs(|| None).expect("an address");
    let way = CuttableProxy::to(addresses[0]).await;
    let mut through = url.clone();
    through
        .set_port(Some(way.address().port()))
        .expect("a port");
    let server = Server::at(through.as_str(), |_| {}).await;

    let server_urls = ServerUrls::default();
    server_urls.set(vec![server.url(), sound.url()]);
    let mut case = FaultCase::begin(url.as_str(), &server_urls, DEPLOYMENTS).await;
    case.is_there(DEPLOYMENTS).await;
    let mut times = interval(Duration::from_millis(200));
    let mut cut = 0;
    for _ in 0..count("VIRIDIAN_FLEET_CUTS", 15) {
        times.tick().await;
        cut += way.cut();
    }
    case.holds().await;
    let summary = case.end([&server, &sound].into_iter()).await;
    summary.tell(&format!("{cut} connections were cut"));
    assert!(cut > 0, "nothing was cut");
    assert!(summary.rollouts > 0, "nothing was rolled out");
}

const DEPLOYMENTS: usize = 40;
