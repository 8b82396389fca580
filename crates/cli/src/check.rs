//! `viridian check`: verifies that the invariants hold in a database.

use std::{io, process::ExitCode, time::Duration};

use clap::Args;
use serde_json::json;
use tokio::runtime::Runtime;
use viridian_server::{Check, CheckError, StartError, StartErrorKind, StoreError};

use crate::{
    duration, exit_code,
    output::{self, OutputError, OutputFormat},
    table::counted,
};

/// The flags of `viridian check`.
#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    /// Database to verify: sqlite:PATH or postgres://USER@HOST/NAME.
    #[arg(
        long,
        env = "VIRIDIAN_DATABASE",
        value_name = "URL",
        hide_env_values = true
    )]
    database: String,
    /// Also verify that nothing is overdue by more than this, like 30s.
    ///
    /// Use it only while a server runs: without one, work that is due stays undone.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    grace: Option<Duration>,
    /// The database was restored from a backup: take no resume or page token from before.
    ///
    /// Positions in its event log are given out a second time, so an old token could skip
    /// events. Stop all servers first. The schema is migrated if an earlier version wrote it.
    #[arg(long)]
    after_restore: bool,
    /// First count again what projects use, by which quotas go, and rebuild the index of
    /// labels.
    ///
    /// It repairs what I36 and I37 find. Servers may run. The schema is migrated if an earlier
    /// version wrote it.
    #[arg(long)]
    recount: bool,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

/// Why the check did not run.
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
    /// Never 1, which means that a violation was found.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Open(error) => match error.kind() {
                StartErrorKind::Config => exit_code::CONFIG,
                StartErrorKind::Unavailable => exit_code::UNAVAILABLE,
            },
            // Both pass by themselves: the same check may run later.
            Self::Store(
                StoreError::Unavailable(_) | StoreError::Unwritable(_) | StoreError::PoolTimeout,
            ) => exit_code::UNAVAILABLE,
            Self::Store(_) | Self::Runtime(_) | Self::Output(_) => exit_code::SOFTWARE,
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

/// Exits with 1 if an invariant is violated, or the file is damaged.
pub(crate) fn run(args: &CheckArgs) -> Result<ExitCode, CheckCommandError> {
    let runtime = Runtime::new().map_err(CheckCommandError::Runtime)?;
    if args.after_restore {
        runtime.block_on(viridian_server::rename_log(&args.database))?;
    }
    if args.recount {
        runtime.block_on(viridian_server::recount(&args.database))?;
    }
    let check = runtime.block_on(viridian_server::check(&args.database, args.grace))?;
    let shown = output::value(args.output, &json(&check))?.unwrap_or_else(|| text(&check));
    output::line(&shown).map_err(OutputError::Write)?;
    Ok(if check.violations.is_empty() && check.damages.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// A line for each violation, and a summary.
fn text(check: &Check) -> String {
    if !check.damages.is_empty() {
        // Nothing else was looked at.
        let damages = check.damages.iter().map(|it| format!("damaged: {it}"));
        return damages.collect::<Vec<_>>().join("\n");
    }
    let mut lines: Vec<String> = check
        .violations
        .iter()
        .map(|it| format!("{}: deployment {} {}", it.invariant, it.deployment, it.what))
        .collect();
    let invariants = counted(check.invariants.len() as u64, "invariant");
    let deployments = counted(check.deployments, "deployment");
    lines.push(match check.violations.len() as u64 {
        0 => format!("{invariants} hold on {deployments}"),
        found => format!(
            "{} of {invariants} on {deployments}",
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
        "damages": check.damages,
    })
}
