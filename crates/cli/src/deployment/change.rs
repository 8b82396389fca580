//! The flags of every command that changes a deployment.

use clap::Args;

#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Change")]
pub(super) struct ChangeArgs {
    /// Why you make this change. The history of the deployment shows it.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) reason: String,
    /// Idempotency key of this call, a UUID.
    ///
    /// The server makes the change once, and answers a repeat with the first reply.
    /// Set it in scripts that try again after a lost connection.
    #[arg(
        long,
        value_name = "UUID",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) request_id: String,
    /// Fail with ABORTED unless the deployment has this generation.
    ///
    /// Protects against overwriting a change by someone else: `get` shows the
    /// generation, and every change raises it.
    #[arg(long, value_name = "NUMBER")]
    pub(super) expected_generation: Option<i64>,
}
