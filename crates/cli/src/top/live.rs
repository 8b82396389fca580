//! The loop of the live view.

use std::time::Duration;

use jiff::Timestamp;
use tokio::time::{MissedTickBehavior, interval};
use viridian_proto::v1::Deployment;

use super::{
    look,
    render::{Model, render},
};
use crate::{
    deployment::{DeploymentError, session::Client},
    screen::{self, Key, Screen},
    signals::Signals,
};

/// Shows it until someone leaves. A server that is away is waited for: the channel
/// connects again by itself.
pub(super) async fn run(
    client: &Client,
    project: &str,
    period: Duration,
    deployments: Vec<Deployment>,
) -> Result<(), DeploymentError> {
    let mut model = Model {
        deployments,
        ..Model::default()
    };
    let mut signals = Signals::listen_in_terminal().map_err(DeploymentError::Runtime)?;
    let mut keys = screen::keys();
    let mut clock = interval(TICK);
    clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut screen = Screen::open().map_err(DeploymentError::Draw)?;
    let mut looking = Box::pin(look_later(client.clone(), project, period));
    loop {
        screen
            .draw(|frame| render(frame, &model, Timestamp::now()))
            .map_err(DeploymentError::Draw)?;
        tokio::select! {
            seen = &mut looking => {
                looking = Box::pin(look_later(client.clone(), project, period));
                match seen {
                    Ok(deployments) => {
                        model.deployments = deployments;
                        model.lost = None;
                    }
                    Err(error) => model.lost = Some(error.to_string()),
                }
            }
            Some(key) = keys.recv() => match key {
                Key::Out | Key::Letter('q') => return Ok(()),
                Key::Down => model.scroll_down(),
                Key::Up => model.scrolled = model.scrolled.saturating_sub(1),
                _ => {}
            },
            stop = signals.next() => return Err(DeploymentError::Stopped(stop)),
            _ = clock.tick() => {}
        }
    }
}

async fn look_later(
    mut client: Client,
    project: &str,
    period: Duration,
) -> Result<Vec<Deployment>, DeploymentError> {
    tokio::time::sleep(period).await;
    look(&mut client, project).await
}

/// How often clocks are drawn anew.
const TICK: Duration = Duration::from_millis(500);
