//! How far it has come: a bar on a terminal, else a line for each change.

use std::io::{self, IsTerminal as _, Write as _};

use indicatif::{ProgressBar, ProgressStyle};
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

use crate::deployment::show;

/// Shows on stderr what is waited for.
pub(super) enum Bar {
    Live(ProgressBar),
    Lines(String),
}

impl Bar {
    pub(super) fn open() -> Self {
        if !io::stderr().is_terminal() {
            return Self::Lines(String::new());
        }
        let bar = ProgressBar::no_length();
        // The fall-back shows less.
        if let Ok(style) = ProgressStyle::with_template("[{bar:24}] {pos}/{len} {wide_msg}") {
            bar.set_style(style.progress_chars("=> "));
        }
        Self::Live(bar)
    }

    pub(super) fn show(&mut self, deployment: &Deployment) {
        match self {
            Self::Live(bar) => {
                let target = u64::try_from(deployment.target_replicas).unwrap_or_default();
                bar.set_length(target);
                bar.set_position(ready(deployment).min(target));
                bar.set_message(show::change(deployment));
            }
            Self::Lines(last) => {
                let line = show::change(deployment);
                if *last != line {
                    // What is waited for counts, not who reads it.
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

/// How many routes are ready of the revision that matters.
fn ready(deployment: &Deployment) -> u64 {
    let counts = match deployment.lifecycle() {
        DeploymentLifecycle::Deploying => deployment.green,
        _ => deployment.blue,
    };
    u64::try_from(counts.unwrap_or_default().ready).unwrap_or_default()
}
