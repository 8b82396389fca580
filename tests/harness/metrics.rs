use super::{Server, eventually};

/// What a server measured, at one moment.
#[derive(Debug)]
pub(crate) struct Metrics(String);

impl Server {
    /// What it has measured so far. It was started with [`METRICS`].
    pub(crate) async fn metrics(&self) -> Metrics {
        let url = eventually("where it tells", async || self.metrics_url()).await;
        let reply = reqwest::get(url).await.expect("it answers");
        assert!(reply.status().is_success(), "{reply:?}");
        let kind = reply.headers()["content-type"].to_str().map(str::to_owned);
        assert!(kind.expect("text").starts_with("text/plain; version=0.0.4"));
        Metrics(reply.text().await.expect("a page"))
    }
}

impl Metrics {
    /// The value of one series, by its name and its labels in their order; 0 when
    /// it is not there.
    pub(crate) fn value(&self, series: &str) -> f64 {
        let values = self
            .0
            .lines()
            .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
        values.map_or(0.0, |value| value.parse().expect("a number"))
    }

    /// The page as Prometheus gets it.
    pub(crate) fn text(&self) -> &str {
        &self.0
    }
}

/// The flags of a server that tells what it measures.
pub(crate) const METRICS: [&str; 2] = ["--metrics-listen", "127.0.0.1:0"];
