//! The progress of a wait: a bar on a terminal, else a line for each change.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

use crate::deployment::show;

/// Shows progress on stderr: stdout is for the result.
pub(super) enum WaitBar {
    Live(ProgressBar),
    Lines(String),
}

impl WaitBar {
    pub(super) fn open() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(String::new());
        }
        let bar = ProgressBar::no_length();
        // On an error the default style stays, which shows less.
        if let Ok(style) = ProgressStyle::with_template("[{bar:24}] {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::Live(bar)
    }

    pub(super) fn show(&mut self, deployment: &Deployment) {
        match self {
            Self::Live(bar) => {
                let target = u64::try_from(deployment.target_replicas).unwrap_or_default();
                // The target may change during the wait. After scaling
                // down, more routes may be ready than wanted.
                bar.set_length(target);
                bar.set_position(ready(deployment).min(target));
                bar.set_message(show::change(deployment));
            }
            Self::Lines(last) => {
                let line = show::change(deployment);
                if *last != line {
                    // A closed stderr is no reason to stop waiting.
                    let _ = writeln!(io::stderr(), "{line}");
                    *last = line;
                }
            }
        }
    }

    pub(super) fn close(&self) {
        if let Self::Live(bar) = self {
            bar.finish_and_clear();
        }
    }
}

/// Ready routes of the deploying revision if there is one, else of the current one.
fn ready(deployment: &Deployment) -> u64 {
    let counts = match deployment.lifecycle() {
        DeploymentLifecycle::Deploying => deployment.green,
        _ => deployment.blue,
    };
    u64::try_from(counts.unwrap_or_default().ready).unwrap_or_default()
}
