//! What an attack takes, and what others get meanwhile.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokio::{sync::oneshot, task::JoinHandle};
use tonic::Code;
use viridian_proto::v1::{
    GetDeploymentRequest, deployment_service_client::DeploymentServiceClient,
};

use crate::{
    harness::{Server, count},
    security::staff::{GuardedServer, Shown},
};

/// Someone with good credentials who goes on calling, from another connection.
pub(crate) struct Bystander {
    calling: JoinHandle<Vec<Duration>>,
    stop: oneshot::Sender<()>,
}

/// The largest resident set that a server may come to.
pub(super) struct MemoryBound {
    pid: u32,
    before: u64,
}

impl Bystander {
    pub(super) async fn begin(guarded: &GuardedServer, token: &str) -> Self {
        Self::calling(guarded.client(token).await.deployments()).await
    }

    pub(crate) async fn calling(mut client: DeploymentServiceClient<Shown>) -> Self {
        call(&mut client).await;
        let (stop, mut stopped) = oneshot::channel();
        let calling = tokio::spawn(async move {
            let mut times = Vec::new();
            while stopped.try_recv() == Err(oneshot::error::TryRecvError::Empty) {
                times.push(call(&mut client).await);
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            times
        });
        Self { calling, stop }
    }

    /// Says how long its calls took. All of them were answered.
    pub(crate) async fn end(self) -> String {
        let _ = self.stop.send(());
        let mut times = self.calling.await.expect("every call is answered");
        times.sort();
        let p99 = times[(times.len() - 1) * 99 / 100];
        format!("{} calls of others, p99 {p99:?}", times.len())
    }
}

async fn call(client: &mut DeploymentServiceClient<Shown>) -> Duration {
    let began = Instant::now();
    let answer = client.get_deployment(GetDeploymentRequest {
        deployment: "shop/none".to_owned(),
    });
    let refusal = answer.await.expect_err("there is none");
    assert_eq!(refusal.code(), Code::NotFound, "{refusal:?}");
    began.elapsed()
}

impl MemoryBound {
    pub(super) fn of(server: &Server) -> Self {
        let pid = server.id();
        Self {
            pid,
            before: peak(pid),
        }
    }

    /// 256 MiB with all of the load. With less, what comes on top of an idle server is much
    /// less than without any bound.
    pub(super) fn holds(&self, what: &str) {
        let peak = peak(self.pid);
        report(&format!("{what}: {} → {peak} KiB", self.before));
        assert!(peak <= MAX_PEAK, "{what}: {} → {peak} KiB", self.before);
        let has_less = count("VIRIDIAN_ATTACK_TENTHS", 1) < 10;
        assert!(
            !has_less || peak - self.before <= MAX_GROWTH,
            "{what}: {} → {peak} KiB",
            self.before
        );
    }
}

/// The largest resident set so far, in KiB.
fn peak(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs on Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let line = line.expect("a line of the peak");
    let number = line.trim().trim_end_matches(" kB");
    number.parse().expect("a number")
}

/// Shown with `--nocapture`.
#[expect(
    clippy::print_stderr,
    reason = "figures are for those who ask for them"
)]
pub(crate) fn report(figures: &str) {
    eprintln!("{figures}");
}

/// In KiB.
const MAX_PEAK: u64 = 256 * 1_024;
const MAX_GROWTH: u64 = 96 * 1_024;
