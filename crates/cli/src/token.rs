//! `viridian token`: creates a bearer token, which is printed once and not stored.

use std::{process::ExitCode, str::FromStr as _};

use clap::Args;
use serde_json::json;
use viridian_server::{NewToken, NewTokenError, Role, new_token};

use crate::{
    exit_code,
    output::{self, OutputError, OutputFormat},
};

/// The flags of `viridian token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Name of the caller. The history of a deployment shows it.
    #[arg(long)]
    name: String,
    /// Role of the caller: viewer, promoter, operator, agent or proxy. May be
    /// repeated.
    ///
    /// A viewer reads; a promoter also promotes, aborts, rolls back and pauses; an
    /// operator also creates, changes and deletes. An agent runs routes, a proxy
    /// follows traffic.
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = Role::from_str)]
    roles: Vec<Role>,
    /// Project of the caller, or * for all. May be repeated.
    #[arg(long = "project", value_name = "PROJECT", required = true)]
    projects: Vec<String>,
    /// Resource group whose routes an agent may run and report. May be repeated [default:
    /// all].
    #[arg(long = "resource-group", value_name = "GROUP")]
    resource_groups: Vec<String>,
    /// Output format.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: OutputFormat,
}

/// Why no token was created.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TokenError {
    #[error(transparent)]
    Make(#[from] NewTokenError),
    #[error(transparent)]
    Output(#[from] OutputError),
}

impl TokenError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Make(NewTokenError::Entry(_)) => exit_code::USAGE,
            Self::Make(NewTokenError::Random(_)) | Self::Output(_) => exit_code::FAILURE,
        }
    }
}

/// Prints a new token, and its entry for the credentials file.
pub(crate) fn run(args: &TokenArgs) -> Result<ExitCode, TokenError> {
    let new = new_token(
        &args.name,
        &args.roles,
        &args.projects,
        &args.resource_groups,
    )?;
    let NewToken { token, entry } = &new;
    let json = json!({ "token": token, "entry": entry });
    let text = output::value(args.output, &json)?.unwrap_or_else(|| {
        format!(
            "Token (printed once, not stored):\n\n{token}\n\n\
             Entry for the server's credentials file (--tokens):\n\n{}",
            entry.trim_end()
        )
    });
    output::line(&text).map_err(OutputError::Write)?;
    Ok(ExitCode::SUCCESS)
}
