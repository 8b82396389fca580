//! `viridian check`: whether the invariants hold on a database.

use std::{io, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;
use viridian_server::{Check, CheckError, StartError, StartErrorKind, StoreError};

use crate::{
    duration, error,
    output::{self, Format, OutputError},
};

/// The flags of `viridian check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// sqlite:PATH or postgres://…
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    database: String,
    /// Also check that nothing is past its time by more than this, like 30s: only
    /// while a server runs.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// How to show what is found.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Why nothing was checked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CheckCommandError {
    #[error("cannot start: {0}")]
    Runtime(#[source] io::Error),
    #[error(transparent)]
    Open(#[from] StartError),
    #[error(transparent)]
    Store(StoreError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl CheckCommandError {
    /// Not 1, which says that something was found.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) => match error.kind() {
                StartErrorKind::Config => error::CONFIG,
                StartErrorKind::Unavailable => error::UNAVAILABLE,
            },
            Self::Store(StoreError::Away(_) | StoreError::Exhausted) => error::UNAVAILABLE,
            Self::Store(_) | Self::Runtime(_) | Self::Output(_) => error::SOFTWARE,
        }
    }
}

impl From<CheckError> for CheckCommandError {
    fn from(error: CheckError) -> Self {
        match error {
            CheckError::Open(error) => Self::Open(error.into()),
            CheckError::Store(error) => Self::Store(error),
        }
    }
}

/// Exits with 1 when something does not hold.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, CheckCommandError> {
    let runtime = Runtime::new().map_err(CheckCommandError::Runtime)?;
    let check = runtime.block_on(viridian_server::check(&args.database, args.grace))?;
    let shown = output::value(args.output, &json(&check))?.unwrap_or_else(|| text(&check));
    output::line(&shown).map_err(OutputError::Write)?;
    Ok(if check.violations.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A line a violation, and one that sums up.
fn text(check: &Check) -> String {
    let mut lines: Vec<String> = check
        .violations
        .iter()
        .map(|it| format!("{}: deployment {} {}", it.invariant, it.deployment, it.what))
        .collect();
    let asked = counted(check.invariants.len() as u64, "invariant");
    let deployments = counted(check.deployments, "deployment");
    lines.push(match check.violations.len() as u64 {
        0 => format!("{asked} hold on {deployments}"),
        found => format!(
            "{} of {asked} on {deployments}",
            counted(found, "violation")
        ),
    });
    lines.join("\n")
}

fn json(check: &Check) -> serde_json::Value {
    let violation = |it: &viridian_server::Violation| {
        json!({
            "invariant": it.invariant,
            "rule": it.rule,
            "deployment": it.deployment.to_string(),
            "what": it.what,
        })
    };
    let violations: Vec<_> = check.violations.iter().map(violation).collect();
    json!({
        "invariants": check.invariants,
        "deployments": check.deployments,
        "violations": violations,
    })
}

/// `1 deployment`, `2 deployments`.
pub(crate) fn counted(count: u64, what: &str) -> String {
    let end = if count == 1 { "" } else { "s" };
    format!("{count} {what}{end}")
}
