//! No background task of the server ends unnoticed. Each is made to panic, by a fail point
//! that only debug builds have.

use nix::sys::signal::Signal;
use tonic::{
    Code, Streaming,
    transport::{Channel, ClientTlsConfig},
};
use tonic_health::pb::{
    HealthCheckRequest, HealthCheckResponse,
    health_check_response::ServingStatus::{NotServing, Serving},
    health_client::HealthClient,
};
use viridian_client::CallCredentials;
use viridian_proto::v1::WatchTrafficRequest;
use viridian_server::BackgroundTask;

use crate::{
    harness::{METRICS, refused, within},
    security::{
        pki::{Authority, Files},
        staff::{Client, GuardedServer, of_token},
    },
};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_background_task_that_panics_ends_the_server() {
    for task in BackgroundTask::ALL {
        let mut env = Supervised::start(task).await;
        let mut all = env.watch_health("").await;
        let mut service = env.watch_health(SERVICE).await;
        assert_eq!(next(&mut all).await, Serving, "{task}");
        assert_eq!(next(&mut service).await, Serving, "{task}");
        let client = Client::new(
            env.channel.clone(),
            CallCredentials::bearer(TOKEN).expect("a token"),
        );
        let everything = WatchTrafficRequest {
            deployments: Vec::new(),
            all: true,
            ..WatchTrafficRequest::default()
        };
        let opened = client.traffic().watch_traffic(everything).await;
        let mut tables = opened.expect("a stream").into_inner();

        env.guarded.server.signal(Signal::SIGUSR1);
        assert_eq!(next(&mut all).await, NotServing, "{task}");
        assert_eq!(next(&mut service).await, NotServing, "{task}");
        let end = within("the end of the stream", tables.message()).await;
        refused(
            &end.expect_err("the server ends"),
            Code::Unavailable,
            "SHUTTING_DOWN",
        );
        // Without this end, an open watch would hold the shutdown for all of its grace.
        let end = within("the end of the watch", all.message()).await;
        refused(
            &end.expect_err("the server ends"),
            Code::Unavailable,
            "SHUTTING_DOWN",
        );
        let status = env.guarded.server.ended().await;
        assert_eq!(status.code(), Some(102), "{task}: {status:?}");
        let why = format!("error: the background task {task} panicked");
        env.guarded.server.logs(&why).await;
    }
}

/// A server with all the tasks that a server can have.
struct Supervised {
    guarded: GuardedServer,
    channel: Channel,
    _files: Files,
}

impl Supervised {
    async fn start(task: BackgroundTask) -> Self {
        let (authority, files) = (Authority::new("servers"), Files::create());
        let pair = authority.server();
        let cert = files.write("server.pem", &pair.cert);
        let key = files.write("server.key", &pair.key);
        let entry = of_token("proxy", TOKEN, &["proxy"], &["*"]);
        let guarded = GuardedServer::start_with(&[entry], |command| {
            command
                .env("VIRIDIAN_PANIC_IN", task.as_str())
                .args(METRICS)
                .args(["--coordinator-workers", "2"])
                .arg("--tls-cert")
                .arg(cert)
                .arg("--tls-key")
                .arg(key);
        })
        .await;
        let tls = ClientTlsConfig::new().ca_certificate(authority.certificate());
        let url = format!("https://{}", guarded.server.address());
        let endpoint = Channel::from_shared(url).expect("a URL").tls_config(tls);
        let channel = endpoint.expect("TLS").connect().await;
        Self {
            guarded,
            channel: channel.expect("the server can be reached"),
            _files: files,
        }
    }

    async fn watch_health(&self, service: &str) -> Streaming<HealthCheckResponse> {
        let request = HealthCheckRequest {
            service: service.to_owned(),
        };
        let reply = HealthClient::new(self.channel.clone()).watch(request).await;
        reply.expect("its health").into_inner()
    }
}

async fn next(
    watch: &mut Streaming<HealthCheckResponse>,
) -> tonic_health::pb::health_check_response::ServingStatus {
    let reply = within("what is reported of health", watch.message()).await;
    reply.expect("it goes on").expect("it goes on").status()
}

const SERVICE: &str = "viridian.deployment.v1.TrafficService";
const TOKEN: &str = "vrd_proxy";
