//! The flags of `viridian serve` for quotas: what each project may use.

use clap::{Args, value_parser};
use viridian_server::ProjectQuota;

use crate::byte_size::{self, LargeByteSize};

/// The flags of `viridian serve` for quotas.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Quotas")]
pub(crate) struct QuotaArgs {
    /// Live deployments that a project may have; 0 for any number.
    ///
    /// A change beyond a quota fails with RESOURCE_EXHAUSTED. The credentials file can give
    /// a project other quotas: docs/security.md has the format.
    #[arg(
        long,
        env = "VIRIDIAN_QUOTA_DEPLOYMENTS",
        value_name = "N",
        value_parser = value_parser!(i64).range(0..),
        default_value_t = 0
    )]
    quota_deployments: i64,
    /// Replicas that the live deployments of a project may ask for in all; 0 for any
    /// number.
    #[arg(
        long,
        env = "VIRIDIAN_QUOTA_REPLICAS",
        value_name = "N",
        value_parser = value_parser!(i64).range(0..),
        default_value_t = 0
    )]
    quota_replicas: i64,
    /// Revisions that may be stored for a project; 0 for any number.
    ///
    /// Those of deleted deployments count until they are pruned (--retain-deployments).
    #[arg(
        long,
        env = "VIRIDIAN_QUOTA_REVISIONS",
        value_name = "N",
        value_parser = value_parser!(i64).range(0..),
        default_value_t = 0
    )]
    quota_revisions: i64,
    /// Bytes of specs, labels and metadata that may be stored for a project; 0 for any
    /// number.
    #[arg(long, env = "VIRIDIAN_QUOTA_BYTES", value_name = "SIZE", value_parser = byte_size::parse_large, default_value = "0")]
    quota_bytes: LargeByteSize,
}

impl From<QuotaArgs> for ProjectQuota {
    fn from(args: QuotaArgs) -> Self {
        Self {
            deployments: args.quota_deployments,
            replicas: args.quota_replicas,
            revisions: args.quota_revisions,
            bytes: args.quota_bytes.bytes(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Flags {
        #[command(flatten)]
        quota: QuotaArgs,
    }

    #[test]
    fn g11_there_are_no_quotas_unless_they_are_asked_for() {
        let quota = |flags: &[&str]| {
            let flags = ["serve"].iter().chain(flags);
            Flags::try_parse_from(flags).map(|it| ProjectQuota::from(it.quota))
        };
        let none = quota(&[]).expect("no flag is needed");
        assert_eq!(none, ProjectQuota::default());
        let some = quota(&["--quota-replicas", "10", "--quota-bytes", "8GiB"]);
        let expected = ProjectQuota {
            replicas: 10,
            bytes: 8 << 30,
            ..none
        };
        assert_eq!(some.expect("both are valid"), expected);
        assert!(quota(&["--quota-deployments", "-1"]).is_err());
    }
}
