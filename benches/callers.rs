//! Concurrent callers, and the latency of each call.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::task::JoinSet;

/// The rate and the latencies of some calls.
pub(crate) struct Calls {
    pub(crate) a_second: f64,
    latencies: Vec<Duration>,
}

impl Calls {
    /// Makes one call for each number below `count`, by as many callers at once.
    pub(crate) async fn make<F, C>(callers: usize, count: usize, call: F) -> Self
    where
        F: Fn(usize) -> C + Clone + Send + 'static,
        C: Future<Output = ()> + Send,
    {
        let next = Arc::new(AtomicUsize::new(0));
        let mut running = JoinSet::new();
        let begin = Instant::now();
        for _ in 0..callers {
            let (next, call) = (Arc::clone(&next), call.clone());
            running.spawn(async move {
                let mut latencies = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return latencies;
                    }
                    let asked = Instant::now();
                    call(number).await;
                    latencies.push(asked.elapsed());
                }
            });
        }
        let mut latencies = running.join_all().await.concat();
        let a_second = latencies.len() as f64 / begin.elapsed().as_secs_f64();
        latencies.sort_unstable();
        Self {
            a_second,
            latencies,
        }
    }

    /// A percentile of the latencies.
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        self.latencies[(self.latencies.len() * percent / 100).min(self.latencies.len() - 1)]
    }
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
