use std::time::Duration;

use tonic::{Request, Status, Streaming, transport::Channel};
use viridian_proto::v1::{
    ActivateRevisionRequest, CreateDeploymentRequest, CreateRevisionRequest,
    CreateRevisionResponse, Deployment, GetDeploymentRequest, GetTrafficRequest, ListRoutesRequest,
    PromoteDeploymentRequest, PromoteDeploymentResponse, ReportResult, ReportRouteHealthRequest,
    ReportRouteStatusesRequest, Route, RouteHealthReport, RouteHealthStatus, RouteStatusReport,
    TrafficTable, WatchTrafficRequest, WatchTrafficResponse,
    deployment_service_client::DeploymentServiceClient, route_service_client::RouteServiceClient,
    traffic_service_client::TrafficServiceClient, watch_traffic_response::Payload,
};

use super::{WAIT_TIMEOUT, eventually, within};

/// A client of the three services, on one channel.
#[derive(Clone)]
pub(crate) struct Api {
    channel: Channel,
}

impl Api {
    pub(crate) async fn connect(url: &str) -> Self {
        let endpoint = Channel::from_shared(url.to_owned()).expect("a URL");
        let channel = endpoint.connect_timeout(WAIT_TIMEOUT).connect().await;
        Self {
            channel: channel.expect("the server can be reached"),
        }
    }

    /// The same with a narrow window of HTTP/2: what is not polled is not taken.
    pub(crate) async fn connect_narrow(url: &str, window: u32) -> Self {
        let endpoint = Channel::from_shared(url.to_owned()).expect("a URL");
        let endpoint = endpoint
            .initial_stream_window_size(window)
            // So that those who take nothing hold up nobody else on the connection.
            .initial_connection_window_size(1_024 * window);
        let channel = endpoint.connect_timeout(WAIT_TIMEOUT).connect().await;
        Self {
            channel: channel.expect("the server can be reached"),
        }
    }

    /// The same of a server that may be away.
    pub(crate) async fn try_connect(url: &str) -> Result<Self, Status> {
        let endpoint = Channel::from_shared(url.to_owned()).expect("a URL");
        let channel = endpoint.connect_timeout(WAIT_TIMEOUT).connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Self { channel })
    }

    /// The same of one that may also stand still: a call gives up before long,
    /// and a connection that says nothing ends.
    pub(crate) async fn try_connect_within(url: &str, patience: Duration) -> Result<Self, Status> {
        let endpoint = Channel::from_shared(url.to_owned()).expect("a URL");
        let endpoint = endpoint
            .connect_timeout(patience)
            .timeout(patience)
            .http2_keep_alive_interval(patience / 2)
            .keep_alive_timeout(patience / 2)
            .keep_alive_while_idle(true);
        let channel = endpoint.connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        Ok(Self { channel })
    }

    pub(crate) fn channel(&self) -> Channel {
        self.channel.clone()
    }

    pub(crate) fn deployments(&self) -> DeploymentServiceClient<Channel> {
        DeploymentServiceClient::new(self.channel())
    }

    pub(crate) fn routes(&self) -> RouteServiceClient<Channel> {
        RouteServiceClient::new(self.channel())
    }

    pub(crate) fn traffic(&self) -> TrafficServiceClient<Channel> {
        TrafficServiceClient::new(self.channel())
    }

    pub(crate) async fn create(
        &self,
        request: CreateDeploymentRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().create_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn find(&self, reference: &str) -> Result<Deployment, Status> {
        let request = GetDeploymentRequest {
            deployment: reference.to_owned(),
        };
        let reply = self.deployments().get_deployment(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn get(&self, reference: &str) -> Deployment {
        self.find(reference).await.expect("the deployment is there")
    }

    /// Waits until a deployment is as it ought to become.
    pub(crate) async fn until(
        &self,
        reference: &str,
        what: &str,
        is_so: impl Fn(&Deployment) -> bool,
    ) -> Deployment {
        let mut last = None;
        let look = eventually(what, async || {
            let deployment = self.get(reference).await;
            let found = is_so(&deployment).then(|| deployment.clone());
            last = Some(deployment);
            found
        });
        match tokio::time::timeout(WAIT_TIMEOUT / 2, look).await {
            Ok(deployment) => deployment,
            Err(_) => panic!("waited in vain for {what}; the deployment is {last:#?}"),
        }
    }

    /// All routes, oldest first, as of one moment; but for when something was last
    /// reported of each, which moves when nothing else does.
    pub(crate) async fn list_routes(&self, reference: &str) -> Vec<Route> {
        let mut routes = self.list_spoken_routes(reference).await;
        routes.iter_mut().for_each(|it| it.last_report_time = None);
        routes
    }

    /// The same with that.
    pub(crate) async fn list_spoken_routes(&self, reference: &str) -> Vec<Route> {
        let request = ListRoutesRequest {
            deployment: reference.to_owned(),
            page_size: 500,
            ..ListRoutesRequest::default()
        };
        let reply = self.deployments().list_routes(timed(request)).await;
        let reply = reply.expect("the routes can be listed").into_inner();
        assert_eq!(reply.next_page_token, "", "they fit on one page");
        reply.routes
    }

    pub(crate) async fn create_revision(
        &self,
        reference: &str,
        activate: bool,
    ) -> Result<CreateRevisionResponse, Status> {
        let request = CreateRevisionRequest {
            deployment: reference.to_owned(),
            spec: Some(super::request::spec()),
            activate,
            ..CreateRevisionRequest::default()
        };
        let reply = self.deployments().create_revision(timed(request)).await?;
        Ok(reply.into_inner())
    }

    pub(crate) async fn activate(
        &self,
        request: ActivateRevisionRequest,
    ) -> Result<Deployment, Status> {
        let reply = self.deployments().activate_revision(timed(request)).await?;
        Ok(reply.into_inner().deployment.expect("a deployment"))
    }

    pub(crate) async fn promote(
        &self,
        request: PromoteDeploymentRequest,
    ) -> Result<PromoteDeploymentResponse, Status> {
        let reply = self
            .deployments()
            .promote_deployment(timed(request))
            .await?;
        Ok(reply.into_inner())
    }

    pub(crate) async fn report(
        &self,
        reports: Vec<RouteStatusReport>,
    ) -> Result<Vec<ReportResult>, Status> {
        let request = timed(ReportRouteStatusesRequest { reports });
        let reply = self.routes().report_route_statuses(request).await?;
        Ok(reply.into_inner().results)
    }

    pub(crate) async fn report_health(
        &self,
        reports: Vec<RouteHealthReport>,
    ) -> Result<Vec<ReportResult>, Status> {
        let request = timed(ReportRouteHealthRequest { reports });
        let reply = self.routes().report_route_health(request).await?;
        Ok(reply.into_inner().results)
    }

    /// Has the health checker see the same of some routes.
    pub(crate) async fn see(&self, routes: &[Route], health: RouteHealthStatus) {
        let report = |route: &Route| RouteHealthReport {
            route_id: route.id.clone(),
            health: health.into(),
            ..RouteHealthReport::default()
        };
        let results = self.report_health(routes.iter().map(report).collect());
        let results = results.await.expect("reports are taken");
        assert!(results.iter().all(|result| result.applied), "{results:?}");
    }

    pub(crate) async fn table(&self, reference: &str) -> TrafficTable {
        let request = GetTrafficRequest {
            deployment: reference.to_owned(),
        };
        let reply = self.traffic().get_traffic(timed(request)).await;
        let reply = reply.expect("the table can be had").into_inner();
        reply.table.expect("a table")
    }

    pub(crate) async fn watch(&self, reference: &str) -> TableStream {
        self.watch_several(&[reference]).await
    }

    pub(crate) async fn watch_several(&self, references: &[&str]) -> TableStream {
        self.watch_tables(WatchTrafficRequest {
            deployments: references.iter().map(|it| (*it).to_owned()).collect(),
            all: false,
            ..WatchTrafficRequest::default()
        })
        .await
    }

    /// Watches the tables of all deployments.
    pub(crate) async fn watch_all(&self) -> TableStream {
        self.watch_tables(WatchTrafficRequest {
            deployments: Vec::new(),
            all: true,
            ..WatchTrafficRequest::default()
        })
        .await
    }

    async fn watch_tables(&self, request: WatchTrafficRequest) -> TableStream {
        let reply = within("a watch", self.traffic().watch_traffic(request)).await;
        TableStream(reply.expect("tables can be watched").into_inner())
    }
}

/// A stream of traffic tables.
pub(crate) struct TableStream(Streaming<WatchTrafficResponse>);

impl TableStream {
    /// The next table; heartbeats are passed over.
    pub(crate) async fn next(&mut self) -> Result<TrafficTable, Status> {
        within("the next table", self.next_whenever()).await
    }

    /// The same, however long it takes.
    pub(crate) async fn next_whenever(&mut self) -> Result<TrafficTable, Status> {
        loop {
            let message = self.0.message().await?;
            let message = message.expect("a watch does not end by itself");
            if let Some(Payload::Table(table)) = message.payload {
                return Ok(table);
            }
        }
    }
}

/// A request that gives up when no answer comes.
pub(super) fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(WAIT_TIMEOUT);
    request
}
