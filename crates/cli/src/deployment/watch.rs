//! `viridian deployment watch`.

use std::time::Duration;

use clap::{Args, ValueEnum};
use tokio::time::{Instant, sleep, timeout_at};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use viridian_proto::v1::{
    Deployment, DeploymentEvent, DeploymentEventKind, DeploymentLifecycle, DeploymentSubStep,
    WatchDeploymentsRequest, WatchDeploymentsResponse, watch_deployments_response::Payload,
};

use super::{DeploymentError, connect, show, write};
use crate::{
    client::{CallError, answer},
    duration, names,
    output::{self, Format},
    server::ServerArgs,
};

#[derive(Debug, Args)]
pub(super) struct WatchArgs {
    /// The deployment: its UUID, or PROJECT/NAME.
    deployment: String,
    /// End once it is so, also if it is so already. Without it the watch goes on
    /// until the deployment is destroyed.
    #[arg(long, value_name = "STATE")]
    until: Option<Until>,
    /// End after this time; with --until that is a failure.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    timeout: Option<Duration>,
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Until {
    /// READY: nothing is being deployed, and all routes are there.
    Ready,
    /// A new revision waits for its promotion.
    AwaitingPromotion,
}

/// What ended a watch by itself.
enum End {
    Reached,
    Destroyed,
}

pub(super) async fn run(
    args: WatchArgs,
    server: &ServerArgs,
    format: Format,
) -> Result<(), DeploymentError> {
    let (until, limit) = (args.until, args.timeout);
    let subject = args.deployment.clone();
    let mut watch = Watch::of(args, server, format);
    let ended = match limit {
        // Too long for the clock is for ever.
        Some(limit) => match Instant::now().checked_add(limit) {
            Some(at) => timeout_at(at, watch.follow()).await.ok(),
            None => Some(watch.follow().await),
        },
        None => Some(watch.follow().await),
    };
    match (ended.transpose()?, until) {
        (Some(End::Reached), _) | (_, None) => Ok(()),
        (ended, Some(until)) => Err(DeploymentError::NotReached {
            deployment: subject,
            until: until
                .to_possible_value()
                .map_or_else(String::new, |it| it.get_name().to_owned()),
            instead: match ended {
                Some(_) => "it is destroyed".to_owned(),
                None => format!("the time is over ({:?})", limit.unwrap_or_default()),
            },
        }),
    }
}

struct Watch<'a> {
    server: &'a ServerArgs,
    format: Format,
    until: Option<Until>,
    request: WatchDeploymentsRequest,
}

impl<'a> Watch<'a> {
    fn of(args: WatchArgs, server: &'a ServerArgs, format: Format) -> Self {
        Self {
            server,
            format,
            until: args.until,
            request: WatchDeploymentsRequest {
                deployments: vec![args.deployment],
                ..WatchDeploymentsRequest::default()
            },
        }
    }

    /// Follows to the end, over as many streams as it takes.
    async fn follow(&mut self) -> Result<End, DeploymentError> {
        let mut pause = SHORTEST;
        let mut last_sign = Instant::now();
        loop {
            let token = self.request.resume_token.clone();
            let error = match self.follow_once().await {
                Ok(end) => return Ok(end),
                Err(error) => error,
            };
            if self.request.resume_token != token {
                (pause, last_sign) = (SHORTEST, Instant::now());
            }
            // Before it has begun, a failure is the answer.
            let begun = !self.request.resume_token.is_empty();
            if !begun || !may_go_on(&error) || last_sign.elapsed() > PATIENCE {
                return Err(error);
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    async fn follow_once(&mut self) -> Result<End, DeploymentError> {
        let mut client = connect(self.server).await?;
        let mut stream = answer(client.watch_deployments(self.request.clone())).await?;
        loop {
            let Some(event) = next(&mut stream).await? else {
                continue;
            };
            let deployment = event.deployment.as_ref();
            let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
            write(&match self.format {
                Format::Table => line(&event, deployment),
                Format::Json => output::json_line("DeploymentEvent", &event)?,
            })?;
            self.request.resume_token.clone_from(&event.resume_token);
            if self.until.is_some_and(|until| until.is_reached(deployment)) {
                return Ok(End::Reached);
            }
            if deployment.lifecycle() == DeploymentLifecycle::Destroyed {
                return Ok(End::Destroyed);
            }
        }
    }
}

impl Until {
    fn is_reached(self, deployment: &Deployment) -> bool {
        match self {
            Self::Ready => deployment.lifecycle() == DeploymentLifecycle::Ready,
            Self::AwaitingPromotion => {
                deployment.sub_step() == DeploymentSubStep::AwaitingPromotion
            }
        }
    }
}

/// The next event; none for a heartbeat.
async fn next(
    stream: &mut Streaming<WatchDeploymentsResponse>,
) -> Result<Option<DeploymentEvent>, CallError> {
    let message = tokio::time::timeout(SILENCE, stream.message()).await;
    let message = message.map_err(|_| Status::unavailable("nothing is heard of the server"))??;
    let message = message.ok_or_else(|| Status::unavailable("the server ended the stream"))?;
    Ok(match message.payload {
        Some(Payload::Event(event)) => Some(event),
        Some(Payload::Heartbeat(_)) | None => None,
    })
}

/// Whether the same question may be answered later: the server stops, is away,
/// or ended a stream that was too slow. What breaks with the connection has no
/// reason of Viridian's.
fn may_go_on(error: &DeploymentError) -> bool {
    match error {
        DeploymentError::Call(CallError::Unreachable { .. }) => true,
        DeploymentError::Call(CallError::Refused(status)) => match status.code() {
            Code::Unavailable | Code::ResourceExhausted => true,
            Code::Unknown | Code::Internal | Code::Cancelled => {
                status.get_error_details().error_info().is_none()
            }
            _ => false,
        },
        _ => false,
    }
}

/// A change, on one line.
fn line(event: &DeploymentEvent, deployment: &Deployment) -> String {
    let kind = match event.kind() {
        DeploymentEventKind::Snapshot => "NOW",
        kind => names::event(kind),
    };
    format!("{kind:<11}  {}", show::change(deployment))
}

/// Three heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, BlockerCode, ReplicaCounts};

    use super::*;

    fn deploying() -> Deployment {
        let mut deployment = Deployment {
            target_replicas: 3,
            blue: Some(ReplicaCounts {
                ready: 3,
                ..ReplicaCounts::default()
            }),
            green: Some(ReplicaCounts {
                ready: 1,
                ..ReplicaCounts::default()
            }),
            blockers: vec![Blocker {
                code: BlockerCode::GreenProvisioning.into(),
                message: "2 of 3 green routes are provisioning".to_owned(),
                until_time: None,
            }],
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Deploying);
        deployment.set_sub_step(DeploymentSubStep::Provisioning);
        deployment
    }

    #[test]
    fn a_change_is_a_line() {
        let mut event = DeploymentEvent::default();
        event.set_kind(DeploymentEventKind::Progressed);
        assert_eq!(
            line(&event, &deploying()),
            "PROGRESSED   DEPLOYING / PROVISIONING, blue 3/3, green 1/3: \
             2 of 3 green routes are provisioning"
        );
        event.set_kind(DeploymentEventKind::Snapshot);
        let mut ready = deploying();
        ready.set_lifecycle(DeploymentLifecycle::Ready);
        ready.set_sub_step(DeploymentSubStep::Unspecified);
        ready.blockers.clear();
        assert_eq!(line(&event, &ready), "NOW          READY, blue 3/3");
    }

    #[test]
    fn only_what_passes_is_waited_out() {
        let refused = |status| DeploymentError::Call(CallError::Refused(status));
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Unknown] {
            assert!(may_go_on(&refused(Status::new(code, ""))), "{code:?}");
        }
        for code in [Code::OutOfRange, Code::NotFound, Code::Unauthenticated] {
            assert!(!may_go_on(&refused(Status::new(code, ""))), "{code:?}");
        }
        let details = tonic_types::ErrorDetails::with_error_info("INTERNAL", "viridian", []);
        let internal = Status::with_error_details(Code::Internal, "", details);
        assert!(!may_go_on(&refused(internal)), "the server said so");
    }
}
