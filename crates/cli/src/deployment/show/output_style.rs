//! The style of text output: with colours or without.

use std::fmt::Display;

use console::{StyledObject, Term, style};
use jiff::Timestamp;
use viridian_proto::v1::{
    Deployment, DeploymentLifecycle, DeploymentSubStep, RouteHealthStatus, RouteStatus,
};

use crate::enum_names;

/// The style of text output, the time that ages refer to, and the room that there is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OutputStyle {
    pub(crate) coloured: bool,
    pub(crate) now: Timestamp,
    /// Columns of the terminal; none for a file or a pipe, whose lines may be long.
    pub(crate) width: Option<usize>,
}

impl OutputStyle {
    /// The style for stdout: coloured on a terminal, unless `NO_COLOR` is set.
    pub(crate) fn of_stdout() -> Self {
        Self {
            coloured: console::colors_enabled(),
            now: Timestamp::now(),
            width: terminal_width(),
        }
    }

    /// Lifecycle, sub-step, how badly it serves, and `paused`.
    pub(crate) fn state(self, deployment: &Deployment) -> String {
        self.paint_state(enum_names::state(deployment), deployment)
    }

    /// The same in tables: the sub-step stands for the lifecycle.
    pub(crate) fn short_state(self, deployment: &Deployment) -> String {
        self.paint_state(enum_names::short_state(deployment).to_owned(), deployment)
    }

    fn paint_state(self, name: String, deployment: &Deployment) -> String {
        let state = self.paint(name);
        let state = match (deployment.lifecycle(), deployment.sub_step()) {
            (_, DeploymentSubStep::RollingBack) => state.red(),
            _ if enum_names::awaits_someone(deployment) => state.magenta(),
            (DeploymentLifecycle::Ready, _) if enum_names::serves_badly(deployment) => state.red(),
            (DeploymentLifecycle::Ready, _) => state.green(),
            (DeploymentLifecycle::Destroyed | DeploymentLifecycle::Destroying, _) => state.dim(),
            _ => state.yellow(),
        };
        let remarks = enum_names::state_remarks(deployment);
        format!("{state}{}", self.paint(remarks).yellow())
    }

    pub(crate) fn status(self, status: RouteStatus) -> String {
        let name = self.paint(enum_names::status(status));
        match status {
            RouteStatus::Running => name.green(),
            RouteStatus::FailedToStart => name.red(),
            RouteStatus::Terminated | RouteStatus::Terminating => name.dim(),
            _ => name.yellow(),
        }
        .to_string()
    }

    pub(crate) fn health(self, health: RouteHealthStatus) -> String {
        let name = self.paint(enum_names::health(health));
        match health {
            RouteHealthStatus::Healthy => name.green(),
            RouteHealthStatus::Unhealthy => name.red(),
            RouteHealthStatus::Degraded => name.yellow(),
            _ => name.dim(),
        }
        .to_string()
    }

    pub(crate) fn waiting(self, what: &str) -> String {
        self.paint(what).yellow().to_string()
    }

    pub(crate) fn good(self, text: &str) -> String {
        self.paint(text).green().to_string()
    }

    pub(crate) fn bad(self, text: &str) -> String {
        self.paint(text).red().to_string()
    }

    pub(crate) fn blue(self, text: &str) -> String {
        self.paint(text).blue().bold().to_string()
    }

    pub(crate) fn green(self, text: &str) -> String {
        self.paint(text).green().bold().to_string()
    }

    pub(crate) fn strong(self, text: &str) -> String {
        self.paint(text).bold().to_string()
    }

    pub(crate) fn faint(self, text: &str) -> String {
        self.paint(text).dim().to_string()
    }

    fn paint<T: Display>(self, text: T) -> StyledObject<T> {
        // Forced either way: `console` would decide by the terminal, and not by this style.
        style(text).force_styling(self.coloured)
    }
}

fn terminal_width() -> Option<usize> {
    let stdout = Term::stdout();
    if !stdout.is_term() {
        return None;
    }
    let (_, columns) = stdout.size_checked()?;
    Some(usize::from(columns))
}
