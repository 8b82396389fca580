//! `viridian token`: makes a token, which is shown once and kept nowhere.

use std::{process::ExitCode, str::FromStr as _};

use clap::Args;
use serde_json::json;
use viridian_server::{NewToken, NewTokenError, Role, new_token};

use crate::{
    error::USAGE,
    output::{self, Format, OutputError},
};

/// The flags of `viridian token`.
#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// Whose it is: the actor in history.
    #[arg(long)]
    name: String,
    /// What they may do: viewer, promoter, operator, agent or proxy. More than once
    /// for more than one.
    #[arg(long = "role", value_name = "ROLE", required = true, value_parser = Role::from_str)]
    roles: Vec<Role>,
    /// Which project is theirs, or * for all. More than once for more than one.
    #[arg(long = "project", value_name = "PROJECT", required = true)]
    projects: Vec<String>,
    /// How to show it.
    #[arg(short, long, value_name = "FORMAT", default_value = "table")]
    output: Format,
}

/// Why there is no token.
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
            Self::Make(NewTokenError::Entry(_)) => USAGE,
            Self::Make(NewTokenError::Random(_)) | Self::Output(_) => 1,
        }
    }
}

/// Shows a new token, and the entry that lets it in.
pub(crate) fn run(args: &TokenArgs) -> Result<ExitCode, TokenError> {
    let new = new_token(&args.name, &args.roles, &args.projects)?;
    let NewToken { token, entry } = &new;
    let json = json!({ "token": token, "entry": entry });
    let text = output::value(args.output, &json)?.unwrap_or_else(|| {
        format!(
            "The token, which is shown once and kept nowhere:\n\n{token}\n\n\
             For the server's file of credentials (--tokens):\n\n{}",
            entry.trim_end()
        )
    });
    output::line(&text).map_err(OutputError::Write)?;
    Ok(ExitCode::SUCCESS)
}
