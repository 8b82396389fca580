//! The flags of every verb that changes something.

use clap::Args;

#[derive(Debug, Args)]
#[command(next_help_heading = "Change")]
pub(super) struct ChangeArgs {
    /// Why, for the history.
    #[arg(
        long,
        value_name = "TEXT",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) reason: String,
    /// A UUID that makes a repeat of this call harmless.
    #[arg(
        long,
        value_name = "UUID",
        default_value = "",
        hide_default_value = true
    )]
    pub(super) request_id: String,
    /// Refuse unless the deployment has this generation.
    #[arg(long, value_name = "NUMBER")]
    pub(super) expected_generation: Option<i64>,
}
