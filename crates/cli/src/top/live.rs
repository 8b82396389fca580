//! The event loop of the live table.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use viridian_proto::v1::{Deployment, ListDeploymentsRequest};

use super::{
    read_in_progress,
    render::{TopModel, render},
};
use crate::{
    deployment::{DeploymentError, read::DeploymentClient},
    screen::{self, KeyPress, TerminalScreen},
    signals::StopSignals,
};

/// Shows the table until the user quits. If the server cannot be reached, the table stays
/// and says so: the channel reconnects by itself.
pub(super) async fn run(
    client: &DeploymentClient,
    selection: &ListDeploymentsRequest,
    period: Duration,
    deployments: Vec<Deployment>,
) -> Result<(), DeploymentError> {
    let mut model = TopModel {
        deployments,
        ..TopModel::default()
    };
    let mut signals = StopSignals::listen().map_err(DeploymentError::Runtime)?;
    let mut keys = screen::key_presses();
    let mut redraw = interval(REDRAW_INTERVAL);
    // When the process was stopped for a while, there is no burst of the missed redraws.
    redraw.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut screen = TerminalScreen::open().map_err(DeploymentError::Draw)?;
    let mut reading = Box::pin(read_after(client.clone(), selection, period));
    loop {
        screen
            .draw(|frame| render(frame, &model, Timestamp::now()))
            .map_err(DeploymentError::Draw)?;
        tokio::select! {
            result = &mut reading => {
                // The next read starts when this one has ended: a slow server never has two.
                reading = Box::pin(read_after(client.clone(), selection, period));
                match result {
                    Ok(deployments) => {
                        model.deployments = deployments;
                        model.error = None;
                    }
                    Err(error) => model.error = Some(error.to_string()),
                }
            }
            Some(key) = keys.recv() => match key {
                KeyPress::Cancel | KeyPress::Letter('q') => return Ok(()),
                KeyPress::Down => model.scroll_down(),
                KeyPress::Up => model.scrolled = model.scrolled.saturating_sub(1),
                _ => {}
            },
            stop = signals.next() => return Err(DeploymentError::Stopped(stop)),
            _ = redraw.tick() => {}
        }
    }
}

async fn read_after(
    mut client: DeploymentClient,
    selection: &ListDeploymentsRequest,
    period: Duration,
) -> Result<Vec<Deployment>, DeploymentError> {
    tokio::time::sleep(period).await;
    read_in_progress(&mut client, selection).await
}

/// How often ages and countdowns are redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(500);
