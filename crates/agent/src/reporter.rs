//! Brings the reports to the server.

use std::{sync::Arc, time::Duration};

use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::Code;
use tracing::{info, warn};
use viridian_client::{AuthChannel, Backoff, CallError, unary_within};
use viridian_proto::v1::{
    ReportResult, ReportRouteHealthRequest, ReportRouteStatusesRequest, RouteStatus,
    route_service_client::RouteServiceClient,
};

use crate::{
    outbox::{Batch, Outbox},
    record::Record,
};

/// Sends what the outbox holds, again and again until the server answers.
/// Returns when there is nothing to send and `closing` is cancelled. Once an end
/// is answered, the record forgets the route.
///
/// A report that the server refuses is logged and dropped, since it would be
/// refused again; unless the server says that it may be applied later.
pub(crate) async fn deliver(
    channel: AuthChannel,
    outbox: Arc<Outbox>,
    record: Record,
    closing: CancellationToken,
) {
    let mut client = RouteServiceClient::new(channel);
    let mut backoff = Backoff::default();
    let mut limit = LARGEST_BATCH;
    loop {
        let Some(batch) = outbox.next_batch(limit) else {
            tokio::select! {
                biased;
                () = outbox.changed() => continue,
                () = closing.cancelled() => return,
            }
        };
        match send(&mut client, &batch).await {
            Ok(results) => {
                log_refusals(&results);
                let later = |place: usize| results.get(place).is_some_and(|result| result.retry);
                let waiting = outbox.settle(&batch, later);
                record.remove(ends(&batch, later)).await;
                if waiting == batch.len() {
                    // Nothing but those: until there is more, they have time.
                    tokio::select! {
                        () = time::sleep(backoff.next_delay()) => {}
                        () = outbox.changed() => {}
                    }
                } else {
                    backoff.reset();
                }
            }
            // One of the reports is malformed: send them one by one, until
            // the one at fault is found.
            Err(CallError::Refused(status))
                if status.code() == Code::InvalidArgument && batch.len() > 1 =>
            {
                warn!(%status, reports = batch.len(), "reports were refused as a whole");
                limit = 1;
            }
            Err(CallError::Refused(status)) if status.code() == Code::InvalidArgument => {
                warn!(%status, ?batch, "a report was refused and is dropped");
                outbox.settle(&batch, |_| false);
                record.remove(ends(&batch, |_| false)).await;
                limit = LARGEST_BATCH;
            }
            Err(error) => {
                let delay = backoff.next_delay();
                info!(%error, ?delay, reports = batch.len(), "reports wait for the server");
                time::sleep(delay).await;
            }
        }
    }
}

/// The routes whose end was answered.
fn ends(batch: &Batch, later: impl Fn(usize) -> bool) -> Vec<String> {
    let Batch::Statuses(waiting) = batch else {
        return Vec::new();
    };
    let ended = |status| matches!(status, RouteStatus::Terminated | RouteStatus::FailedToStart);
    let answered = (0..).zip(waiting).filter(|(place, _)| !later(*place));
    answered
        .filter(|(_, numbered)| ended(numbered.report.status()))
        .map(|(_, numbered)| numbered.report.route_id.clone())
        .collect()
}

async fn send(
    client: &mut RouteServiceClient<AuthChannel>,
    batch: &Batch,
) -> Result<Vec<ReportResult>, CallError> {
    match batch {
        Batch::Statuses(waiting) => {
            let reports = waiting.iter().map(|it| it.report.clone()).collect();
            let request = ReportRouteStatusesRequest { reports };
            let reply = unary_within(CALL_TIMEOUT, client.report_route_statuses(request));
            Ok(reply.await?.results)
        }
        Batch::Health(waiting) => {
            let reports = waiting.iter().map(|it| it.report.clone()).collect();
            let request = ReportRouteHealthRequest { reports };
            let reply = unary_within(CALL_TIMEOUT, client.report_route_health(request));
            Ok(reply.await?.results)
        }
    }
}

fn log_refusals(results: &[ReportResult]) {
    for refused in results.iter().filter(|result| !result.applied) {
        let ReportResult {
            route_id, error, ..
        } = refused;
        warn!(route_id, error, "the server refused a report");
    }
}

/// What the contract allows.
const LARGEST_BATCH: usize = 1000;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
