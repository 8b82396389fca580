//! Behind a real nginx, as it is configured where nobody configures it: replies whose
//! headers do not fit into its buffer become a 502.

use std::{collections::BTreeMap, fs, net::SocketAddr, path::PathBuf};

use rstest::rstest;
use tempfile::TempDir;
use tokio::process::{Child, Command};
use tonic::{Code, Status};
use viridian_proto::v1::{CreateDeploymentRequest, ReportRouteStatusesRequest, RouteStatusReport};

use crate::harness::{
    Api, Engine, Server, closed_port, creation, eventually, field_paths, manual, refused, tool,
};

/// In the batch of a scheduler whose ids are not ids.
#[rstest]
#[case::d4_one(1)]
#[case::d4_as_many_as_were_seen(88)]
#[case::d4_as_many_as_there_may_be(1_000)]
#[tokio::test]
async fn d4_a_refusal_with_many_violations_comes_through(#[case] reports: usize) {
    let proxy = Proxy::start().await;
    let mut client = proxy.api().await.routes();
    let report = RouteStatusReport {
        route_id: "→ no id".repeat(20),
        ..RouteStatusReport::default()
    };
    let request = ReportRouteStatusesRequest {
        reports: vec![report; reports],
    };
    let refusal = client.report_route_statuses(request).await;
    let refusal = refusal.expect_err("they are malformed");
    let details = refused(&refusal, Code::InvalidArgument, "INVALID_FIELD");
    let listed = field_paths(&refusal).len();
    assert!(listed > 0, "{refusal:?}");
    let info = details.error_info().expect("an ErrorInfo");
    let left_out = info.metadata.get("violations_left_out");
    let left_out: usize = left_out.map_or(0, |it| it.parse().expect("a number"));
    assert!(listed + left_out >= reports, "{listed} and {left_out}");
    assert_eq!(left_out == 0, reports == 1, "{left_out}");
}

/// In each of the fields that a caller may fill with whatever it likes.
#[rstest]
#[case::d4_project(|it: &mut CreateDeploymentRequest| it.project = LONG.repeat(900))]
#[case::d4_name(|it: &mut CreateDeploymentRequest| it.name = LONG.repeat(900))]
#[case::d4_labels(|it: &mut CreateDeploymentRequest| it.labels = many_labels())]
#[tokio::test]
async fn d4_a_refusal_with_texts_of_the_caller_comes_through(
    #[case] change: fn(&mut CreateDeploymentRequest),
) {
    let proxy = Proxy::start().await;
    let mut request = creation(1, manual());
    change(&mut request);
    let refusal = proxy.api().await.create(request).await;
    let refusal = refusal.expect_err("it is malformed");
    refused(&refusal, Code::InvalidArgument, "INVALID_FIELD");
}

/// In the name of what there is not.
#[tokio::test]
async fn d4_a_long_name_that_is_not_there_comes_through() {
    let proxy = Proxy::start().await;
    let name = format!("shop/{}", LONG.repeat(5_000));
    let refusal: Status = proxy.api().await.find(&name).await.expect_err("none");
    assert!(
        matches!(refusal.code(), Code::InvalidArgument | Code::NotFound),
        "{refusal:?}"
    );
}

fn many_labels() -> BTreeMap<String, String> {
    let labels = (0..900).map(|at| (format!("{at}{LONG}"), LONG.repeat(70)));
    labels.collect()
}

/// A server, and a nginx before it.
struct Proxy {
    address: SocketAddr,
    _nginx: Child,
    _server: Server,
    _folder: TempDir,
}

impl Proxy {
    async fn start() -> Self {
        let server = Server::start(Engine::Sqlite).await;
        let folder = tempfile::tempdir().expect("a folder");
        let (address, path) = (closed_port(), folder.path().display());
        let config = format!(
            "daemon off;\nmaster_process off;\npid {path}/pid;\nerror_log {path}/log;\n\
             events {{}}\nhttp {{\n access_log off;\n client_body_temp_path {path}/body;\n \
             proxy_temp_path {path}/proxy;\n fastcgi_temp_path {path}/fastcgi;\n \
             uwsgi_temp_path {path}/uwsgi;\n scgi_temp_path {path}/scgi;\n \
             client_max_body_size 2m;\n \
             server {{\n  listen {address} http2;\n  \
             location / {{ grpc_pass grpc://{}; }}\n }}\n}}\n",
            server.address()
        );
        let file = folder.path().join("nginx.conf");
        fs::write(&file, config).expect("a file");
        let nginx = Command::new(nginx())
            .arg("-p")
            .arg(folder.path())
            .arg("-c")
            .arg(file)
            .kill_on_drop(true)
            .spawn();
        let proxy = Self {
            address,
            _nginx: nginx.expect("scripts/install-tools has installed it"),
            _server: server,
            _folder: folder,
        };
        eventually("the proxy", async || {
            Api::try_connect(&proxy.url()).await.ok()
        })
        .await;
        proxy
    }

    fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    async fn api(&self) -> Api {
        Api::connect(&self.url()).await
    }
}

/// Debian has it where only root looks.
fn nginx() -> PathBuf {
    let file = PathBuf::from("/usr/sbin/nginx");
    if file.is_file() { file } else { tool("nginx") }
}

const LONG: &str = "é→x";
