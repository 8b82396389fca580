//! A scheduler and health checker without processes.

use tokio::task::JoinHandle;
use viridian_client::{
    AssignmentWatcher, AuthChannel, CallError, ReconnectPolicy, ServerTarget, WatchUpdate, unary,
};
use viridian_proto::v1::{
    Assignment, AssignmentAction, ReportRouteHealthRequest, ReportRouteStatusesRequest,
    RouteHealthReport, RouteHealthStatus, RouteStatus, RouteStatusReport,
    route_service_client::RouteServiceClient,
};

/// Reports every route healthy as soon as it is to start, and terminated as soon as it
/// is to stop. Ends when dropped.
pub(crate) struct InstantScheduler(JoinHandle<()>);

impl InstantScheduler {
    pub(crate) fn start(target: &ServerTarget) -> Self {
        let channel = target.connect_lazy().expect("a channel");
        Self(tokio::spawn(run(channel)))
    }
}

impl Drop for InstantScheduler {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(channel: AuthChannel) {
    let mut client = RouteServiceClient::new(channel.clone());
    let mut watch = AssignmentWatcher::assignments(channel, "default", ReconnectPolicy::FOREVER);
    loop {
        if let Ok(WatchUpdate::Message(assignment)) = watch.next().await {
            // What is not reported stays open, and comes again with the next stream.
            let _ = carry_out(&mut client, assignment).await;
        }
    }
}

async fn carry_out(
    client: &mut RouteServiceClient<AuthChannel>,
    assignment: Assignment,
) -> Result<(), CallError> {
    let is_start = assignment.action() == AssignmentAction::Start;
    let route_id = assignment.route.expect("an assignment has a route").id;
    let status = match is_start {
        true => RouteStatus::Running,
        false => RouteStatus::Terminated,
    };
    let report = RouteStatusReport {
        route_id: route_id.clone(),
        status: status.into(),
        address: format!("{route_id}.test:80"),
        ..RouteStatusReport::default()
    };
    let reports = vec![report];
    unary(client.report_route_statuses(ReportRouteStatusesRequest { reports })).await?;
    if is_start {
        let report = RouteHealthReport {
            route_id,
            health: RouteHealthStatus::Healthy.into(),
            ..RouteHealthReport::default()
        };
        let reports = vec![report];
        unary(client.report_route_health(ReportRouteHealthRequest { reports })).await?;
    }
    Ok(())
}
