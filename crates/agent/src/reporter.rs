//! Delivers the reports to the server.

use std::{sync::Arc, time::Duration};

use tokio::time;
use tokio_util::sync::CancellationToken;
use tonic::{Code, Status};
use tracing::{info, warn};
use viridian_client::{AuthChannel, Backoff, CallError, unary_within};
use viridian_proto::v1::{
    ReportResult, ReportRouteHealthRequest, ReportRouteStatusesRequest, RouteStatus,
    route_service_client::RouteServiceClient,
};

use crate::{
    journal::RouteJournal,
    outbox::{Outbox, ReportBatch},
};

/// Sends the reports in the outbox, and retries each until the server replies.
/// Returns when the outbox is empty and `closing` is cancelled. A route whose end the
/// server has acknowledged is removed from the journal.
///
/// A refused report is logged and dropped, since it would be refused again, unless
/// the server says that it may be applied later.
pub(crate) async fn deliver(
    channel: AuthChannel,
    outbox: Arc<Outbox>,
    journal: RouteJournal,
    closing: CancellationToken,
) {
    let mut reporter = Reporter {
        client: RouteServiceClient::new(channel),
        outbox,
        journal,
        backoff: Backoff::default(),
        limit: MAX_BATCH,
    };
    loop {
        if let Some(batch) = reporter.outbox.next_batch(reporter.limit) {
            reporter.deliver_batch(&batch).await;
            continue;
        }
        tokio::select! {
            // The last reports are added before `closing` is cancelled. Without the
            // order they could stay in the outbox.
            biased;
            () = reporter.outbox.changed() => {}
            () = closing.cancelled() => return,
        }
    }
}

struct Reporter {
    client: RouteServiceClient<AuthChannel>,
    outbox: Arc<Outbox>,
    journal: RouteJournal,
    backoff: Backoff,
    /// The most reports in the next call.
    limit: usize,
}

impl Reporter {
    async fn deliver_batch(&mut self, batch: &ReportBatch) {
        match send(&mut self.client, batch).await {
            Ok(results) => self.settle_replied(batch, &results).await,
            Err(CallError::Refused(status)) if status.code() == Code::InvalidArgument => {
                self.settle_malformed(batch, &status).await;
            }
            Err(error) => {
                let delay = self.backoff.next_delay();
                info!(%error, ?delay, reports = batch.len(), "reports wait for the server");
                time::sleep(delay).await;
            }
        }
    }

    async fn settle_replied(&mut self, batch: &ReportBatch, results: &[ReportResult]) {
        log_refusals(results);
        let later = |index: usize| results.get(index).is_some_and(|result| result.retry);
        let waiting = self.outbox.settle(batch, later);
        self.journal.remove(ends(batch, later)).await;
        if waiting < batch.len() {
            return self.backoff.reset();
        }
        // All must be retried later: without a pause they would be sent in a loop.
        tokio::select! {
            () = time::sleep(self.backoff.next_delay()) => {}
            () = self.outbox.changed() => {}
        }
    }

    /// One malformed report makes the server refuse the call.
    async fn settle_malformed(&mut self, batch: &ReportBatch, status: &Status) {
        if batch.len() > 1 {
            warn!(%status, reports = batch.len(), "reports were refused as a whole");
            // Sent one by one, only the malformed one is dropped.
            self.limit = 1;
            return;
        }
        warn!(%status, ?batch, "a report was refused and is dropped");
        self.outbox.settle(batch, |_| false);
        self.journal.remove(ends(batch, |_| false)).await;
        // That was the malformed one: the others may go together again.
        self.limit = MAX_BATCH;
    }
}

/// Returns the routes in the batch whose end the server has acknowledged.
fn ends(batch: &ReportBatch, later: impl Fn(usize) -> bool) -> Vec<String> {
    let ReportBatch::Statuses(waiting) = batch else {
        return Vec::new();
    };
    let ended = |status| matches!(status, RouteStatus::Terminated | RouteStatus::FailedToStart);
    let answered = (0..).zip(waiting).filter(|(index, _)| !later(*index));
    answered
        .filter(|(_, numbered)| ended(numbered.report.status()))
        .map(|(_, numbered)| numbered.report.route_id.clone())
        .collect()
}

async fn send(
    client: &mut RouteServiceClient<AuthChannel>,
    batch: &ReportBatch,
) -> Result<Vec<ReportResult>, CallError> {
    match batch {
        ReportBatch::Statuses(waiting) => {
            let reports = waiting.iter().map(|it| it.report.clone()).collect();
            let request = ReportRouteStatusesRequest { reports };
            let reply = unary_within(CALL_TIMEOUT, client.report_route_statuses(request));
            Ok(reply.await?.results)
        }
        ReportBatch::Health(waiting) => {
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

/// The most reports that the contract allows in a call.
const MAX_BATCH: usize = 1000;
const CALL_TIMEOUT: Duration = Duration::from_secs(10);
