//! The three streams of the contract, as a watch sees them.

use tonic::{Response, Status, Streaming};
use viridian_proto::v1::{
    Assignment, DeploymentEvent, TrafficTable, WatchAssignmentsRequest, WatchAssignmentsResponse,
    WatchDeploymentsRequest, WatchDeploymentsResponse, WatchTrafficRequest, WatchTrafficResponse,
    deployment_service_client::DeploymentServiceClient, route_service_client::RouteServiceClient,
    traffic_service_client::TrafficServiceClient, watch_assignments_response,
    watch_deployments_response, watch_traffic_response,
};

use super::{AssignmentWatcher, TrafficWatcher};
use super::{ChannelSource, DeploymentWatcher, ReconnectPolicy, ResumableWatch};
use crate::AuthChannel;

/// A method that streams, and where in its stream the watch is.
pub trait WatchMethod: Clone + Send + 'static {
    /// What the method streams.
    type Response: Send + 'static;
    /// What the caller of the watch gets.
    type Item;

    /// Opens the stream, after what was received already.
    fn open(
        self,
        channel: AuthChannel,
    ) -> impl Future<Output = Result<Response<Streaming<Self::Response>>, Status>> + Send;

    /// Takes a message. `None` for one that a newer server may send.
    fn receive(&mut self, message: Self::Response) -> Option<Received<Self::Item>>;

    /// Drops the position, so that the next stream starts over. Returns whether there was
    /// one.
    fn restart(&mut self) -> bool {
        false
    }
}

/// A message of a stream.
#[derive(Debug)]
pub enum Received<T> {
    /// Nothing new, at this time by the server's clock.
    Heartbeat(Option<prost_types::Timestamp>),
    /// Something new.
    Item {
        /// What.
        item: T,
        /// Whether the next stream will begin after it.
        progress: bool,
    },
}

/// `DeploymentService.WatchDeployments`.
#[derive(Clone, Debug)]
pub struct WatchDeployments(WatchDeploymentsRequest);

impl DeploymentWatcher {
    /// Follows one deployment: its UUID, or `PROJECT/NAME`. The first event is its
    /// present state.
    pub fn of(source: impl Into<ChannelSource>, deployment: &str, policy: ReconnectPolicy) -> Self {
        let request = WatchDeploymentsRequest {
            deployments: vec![deployment.to_owned()],
            ..WatchDeploymentsRequest::default()
        };
        Self::deployments(source, request, policy)
    }

    /// Follows what the request names. With a resume token it goes on after the
    /// event that had it.
    pub fn deployments(
        source: impl Into<ChannelSource>,
        request: WatchDeploymentsRequest,
        policy: ReconnectPolicy,
    ) -> Self {
        ResumableWatch::new(source.into(), WatchDeployments(request), policy)
    }

    /// The token of the last event, to go on after it in another process. Empty
    /// before the first.
    pub fn resume_token(&self) -> &str {
        &self.method.0.resume_token
    }
}

impl WatchMethod for WatchDeployments {
    type Response = WatchDeploymentsResponse;
    type Item = DeploymentEvent;

    async fn open(
        self,
        channel: AuthChannel,
    ) -> Result<Response<Streaming<Self::Response>>, Status> {
        let mut client = DeploymentServiceClient::new(channel);
        client.watch_deployments(self.0).await
    }

    fn receive(&mut self, message: Self::Response) -> Option<Received<Self::Item>> {
        match message.payload? {
            watch_deployments_response::Payload::Heartbeat(heartbeat) => {
                Some(Received::Heartbeat(heartbeat.time))
            }
            watch_deployments_response::Payload::Event(event) => {
                // With the event, not after it was handled: the caller has it now, and
                // must not get it again.
                self.0.resume_token.clone_from(&event.resume_token);
                Some(Received::Item {
                    item: event,
                    progress: true,
                })
            }
        }
    }

    fn restart(&mut self) -> bool {
        !std::mem::take(&mut self.0.resume_token).is_empty()
    }
}

/// `RouteService.WatchAssignments`.
#[derive(Clone, Debug)]
pub struct WatchAssignments(WatchAssignmentsRequest);

impl AssignmentWatcher {
    /// Follows the assignments of a resource group.
    pub fn assignments(
        source: impl Into<ChannelSource>,
        resource_group: &str,
        policy: ReconnectPolicy,
    ) -> Self {
        let resource_group = resource_group.to_owned();
        let request = WatchAssignmentsRequest { resource_group };
        ResumableWatch::new(source.into(), WatchAssignments(request), policy)
    }
}

impl WatchMethod for WatchAssignments {
    type Response = WatchAssignmentsResponse;
    type Item = Assignment;

    async fn open(
        self,
        channel: AuthChannel,
    ) -> Result<Response<Streaming<Self::Response>>, Status> {
        let mut client = RouteServiceClient::new(channel);
        client.watch_assignments(self.0).await
    }

    fn receive(&mut self, message: Self::Response) -> Option<Received<Self::Item>> {
        Some(match message.payload? {
            watch_assignments_response::Payload::Heartbeat(heartbeat) => {
                Received::Heartbeat(heartbeat.time)
            }
            watch_assignments_response::Payload::Assignment(item) => Received::Item {
                item,
                progress: false,
            },
        })
    }
}

/// `TrafficService.WatchTraffic`.
#[derive(Clone, Debug)]
pub struct WatchTraffic(WatchTrafficRequest);

impl TrafficWatcher {
    /// Follows the traffic tables that the request names.
    pub fn tables(
        source: impl Into<ChannelSource>,
        request: WatchTrafficRequest,
        policy: ReconnectPolicy,
    ) -> Self {
        ResumableWatch::new(source.into(), WatchTraffic(request), policy)
    }
}

impl WatchMethod for WatchTraffic {
    type Response = WatchTrafficResponse;
    /// Tables that belong together: one, unless the request asks for `together`.
    type Item = Vec<TrafficTable>;

    async fn open(
        self,
        channel: AuthChannel,
    ) -> Result<Response<Streaming<Self::Response>>, Status> {
        let mut client = TrafficServiceClient::new(channel);
        client.watch_traffic(self.0).await
    }

    fn receive(&mut self, message: Self::Response) -> Option<Received<Self::Item>> {
        Some(match message.payload? {
            watch_traffic_response::Payload::Heartbeat(heartbeat) => {
                Received::Heartbeat(heartbeat.time)
            }
            watch_traffic_response::Payload::Table(table) => Received::Item {
                item: vec![table],
                progress: false,
            },
            watch_traffic_response::Payload::Tables(tables) => Received::Item {
                item: tables.tables,
                progress: false,
            },
        })
    }
}
