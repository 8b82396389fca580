//! Follows a deployment to where someone wants it, over as many streams as it
//! takes.

use std::{ops::ControlFlow, time::Duration};

use tokio::time::{Instant, sleep};
use tonic::{Code, Status, Streaming};
use tonic_types::StatusExt as _;
use viridian_proto::v1::{
    Deployment, DeploymentEvent, WatchDeploymentsRequest, WatchDeploymentsResponse,
    watch_deployments_response::Payload,
};

use super::{DeploymentError, Session};
use crate::client::{CallError, answer};

/// What is known of the server's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum Clock {
    Is(prost_types::Timestamp),
    IsPast(prost_types::Timestamp),
}

/// How the connection is.
#[derive(Debug)]
pub(super) enum Contact<'a> {
    /// There is a stream.
    There,
    /// It is this by the server's clock, or later where the message may be old.
    Clock(Clock),
    /// There is none any more, or none yet again.
    Lost(&'a DeploymentError),
}

/// Calls `see` with each event and its deployment, the present one first, until
/// it breaks off.
pub(super) async fn follow<T>(
    session: &Session,
    deployment: &str,
    see: impl FnMut(&DeploymentEvent, &Deployment) -> Result<ControlFlow<T>, DeploymentError>,
) -> Result<T, DeploymentError> {
    let begun = Begun(false);
    follow_closely(session, deployment, begun, see, |_| {}).await
}

/// Whether the deployment was seen already. Before that a failure is the answer,
/// and is not waited out.
pub(super) struct Begun(pub(super) bool);

/// The same, and tells how the connection is.
pub(super) async fn follow_closely<T>(
    session: &Session,
    deployment: &str,
    Begun(mut begun): Begun,
    mut see: impl FnMut(&DeploymentEvent, &Deployment) -> Result<ControlFlow<T>, DeploymentError>,
    mut tell: impl FnMut(Contact<'_>),
) -> Result<T, DeploymentError> {
    let mut request = WatchDeploymentsRequest {
        deployments: vec![deployment.to_owned()],
        ..WatchDeploymentsRequest::default()
    };
    let mut pause = SHORTEST;
    let mut last_sign = Instant::now();
    loop {
        let token = request.resume_token.clone();
        let error = match follow_once(session, &mut request, &mut see, &mut tell).await {
            Ok(end) => return Ok(end),
            Err(error) => error,
        };
        if request.resume_token != token {
            (pause, last_sign) = (SHORTEST, Instant::now());
        }
        begun |= !request.resume_token.is_empty();
        if !begun || !may_go_on(&error) || last_sign.elapsed() > PATIENCE {
            return Err(error);
        }
        tell(Contact::Lost(&error));
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST);
    }
}

async fn follow_once<T>(
    session: &Session,
    request: &mut WatchDeploymentsRequest,
    see: &mut impl FnMut(&DeploymentEvent, &Deployment) -> Result<ControlFlow<T>, DeploymentError>,
    tell: &mut impl FnMut(Contact<'_>),
) -> Result<T, DeploymentError> {
    let mut client = session.connect().await?;
    let mut stream = answer(client.watch_deployments(request.clone())).await?;
    tell(Contact::There);
    loop {
        let event = match next(&mut stream).await? {
            Some(Payload::Event(event)) => event,
            Some(Payload::Heartbeat(heartbeat)) => {
                if let Some(time) = heartbeat.time {
                    tell(Contact::Clock(Clock::Is(time)));
                }
                continue;
            }
            None => continue,
        };
        let deployment = event.deployment.as_ref();
        let deployment = deployment.ok_or(DeploymentError::EmptyReply)?;
        if let Some(time) = deployment.update_time {
            tell(Contact::Clock(Clock::IsPast(time)));
        }
        let seen = see(&event, deployment)?;
        request.resume_token.clone_from(&event.resume_token);
        if let ControlFlow::Break(end) = seen {
            return Ok(end);
        }
    }
}

/// The next message; a server that says nothing for long is away.
async fn next(
    stream: &mut Streaming<WatchDeploymentsResponse>,
) -> Result<Option<Payload>, CallError> {
    let message = tokio::time::timeout(SILENCE, stream.message()).await;
    let message = message.map_err(|_| Status::unavailable("nothing is heard of the server"))??;
    let message = message.ok_or_else(|| Status::unavailable("the server ended the stream"))?;
    Ok(message.payload)
}

/// Whether the same question may be answered later: the server stops, is away,
/// or ended a stream that was too slow. What breaks with the connection has no
/// reason of Viridian's.
fn may_go_on(error: &DeploymentError) -> bool {
    match error {
        DeploymentError::Call(CallError::Unreachable { .. } | CallError::Broken { .. }) => true,
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

/// Three heartbeats.
const SILENCE: Duration = Duration::from_secs(45);
const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);

/// How long a server may be away.
const PATIENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_passes_is_waited_out() {
        let refused = |status| DeploymentError::Call(CallError::Refused(status));
        for code in [Code::Unavailable, Code::ResourceExhausted, Code::Unknown] {
            assert!(may_go_on(&refused(Status::new(code, ""))), "{code:?}");
        }
        for code in [Code::OutOfRange, Code::NotFound, Code::Unauthenticated] {
            assert!(!may_go_on(&refused(Status::new(code, ""))), "{code:?}");
        }
        let reason = "reset".to_owned();
        let broken = DeploymentError::Call(CallError::Broken { reason });
        assert!(may_go_on(&broken), "between its connection and its answer");
        let details = tonic_types::ErrorDetails::with_error_info("INTERNAL", "viridian", []);
        let internal = Status::with_error_details(Code::Internal, "", details);
        assert!(!may_go_on(&refused(internal)), "the server said so");
    }
}
