use tonic::{Status, Streaming};
use viridian_proto::v1::{
    DeploymentEvent, WatchDeploymentsRequest, WatchDeploymentsResponse,
    watch_deployments_response::Payload,
};

use super::{Api, within};

/// A stream of events.
pub(crate) struct EventStream(pub(crate) Streaming<WatchDeploymentsResponse>);

impl Api {
    /// Begins a watch.
    pub(crate) async fn follow(
        &self,
        request: WatchDeploymentsRequest,
    ) -> Result<EventStream, Status> {
        let reply = within("a watch", self.deployments().watch_deployments(request)).await?;
        Ok(EventStream(reply.into_inner()))
    }

    /// What a watch is refused with, or ends with before it has brought anything.
    pub(crate) async fn not_followed(&self, request: WatchDeploymentsRequest) -> Status {
        match self.follow(request).await {
            Ok(mut events) => events.next().await.expect_err("it is refused"),
            Err(status) => status,
        }
    }
}

impl EventStream {
    /// The next event; heartbeats are passed over.
    pub(crate) async fn next(&mut self) -> Result<DeploymentEvent, Status> {
        within("the next event", async {
            loop {
                let message = self.0.message().await?;
                let message = message.expect("a watch does not end by itself");
                if let Some(Payload::Event(event)) = message.payload {
                    return Ok(event);
                }
            }
        })
        .await
    }

    /// The same of a stream that goes on.
    pub(crate) async fn event(&mut self) -> DeploymentEvent {
        self.next().await.expect("an event")
    }
}

/// Asks for the events of some deployments.
pub(crate) fn of_deployments(references: &[&str]) -> WatchDeploymentsRequest {
    WatchDeploymentsRequest {
        deployments: references.iter().map(ToString::to_string).collect(),
        ..WatchDeploymentsRequest::default()
    }
}

/// Asks for the events of a project.
pub(crate) fn of_project(name: &str) -> WatchDeploymentsRequest {
    WatchDeploymentsRequest {
        project: name.to_owned(),
        ..WatchDeploymentsRequest::default()
    }
}

/// Asks for what comes behind a token.
pub(crate) fn behind(token: &str) -> WatchDeploymentsRequest {
    WatchDeploymentsRequest {
        resume_token: token.to_owned(),
        ..WatchDeploymentsRequest::default()
    }
}
