//! The variants of the demonstration, and the flags that choose one.

use clap::{Args, ValueEnum};

/// The flags of `viridian demo`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DemoArgs {
    /// How version 2 replaces version 1.
    #[arg(long, value_enum, default_value = "blue-green")]
    strategy: DemoStrategy,
    /// Deploy a version 2 that never becomes healthy, and is rolled back
    /// automatically.
    #[arg(long)]
    fail: bool,
    /// Roll back to version 1 after the promotion. Its replicas are still running, so
    /// that the roll-back is instant.
    #[arg(long, conflicts_with = "fail")]
    rollback: bool,
}

/// How version 2 replaces version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum DemoStrategy {
    /// Start all of version 2 without traffic, then switch all traffic at once.
    BlueGreen,
    /// Give version 2 a share of the requests that grows by steps, then all of them.
    Canary,
    /// Replace one replica after the other.
    Rolling,
}

/// A variant of the demonstration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DemoScenario {
    /// Version 2 starts beside version 1, waits, and is promoted.
    Promotion,
    /// The same, then a roll-back to version 1.
    RollBack,
    /// Version 2 gets a share of the requests that grows by steps, and is promoted.
    Canary,
    /// Version 2 replaces version 1 replica by replica.
    Rolling,
    /// Version 2 never becomes healthy, and is rolled back.
    Failure(DemoStrategy),
}

/// Flags that cannot be combined.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("--rollback needs --strategy blue-green")]
pub(crate) struct ScenarioError;

impl TryFrom<DemoArgs> for DemoScenario {
    type Error = ScenarioError;

    fn try_from(args: DemoArgs) -> Result<Self, ScenarioError> {
        match (args.strategy, args.fail, args.rollback) {
            // clap refuses --fail together with --rollback.
            (strategy, true, _) => Ok(Self::Failure(strategy)),
            (DemoStrategy::BlueGreen, false, false) => Ok(Self::Promotion),
            (DemoStrategy::BlueGreen, false, true) => Ok(Self::RollBack),
            (DemoStrategy::Canary, false, false) => Ok(Self::Canary),
            (DemoStrategy::Rolling, false, false) => Ok(Self::Rolling),
            (DemoStrategy::Canary | DemoStrategy::Rolling, false, true) => Err(ScenarioError),
        }
    }
}

impl DemoScenario {
    pub(super) fn strategy(self) -> DemoStrategy {
        match self {
            Self::Promotion | Self::RollBack => DemoStrategy::BlueGreen,
            Self::Canary => DemoStrategy::Canary,
            Self::Rolling => DemoStrategy::Rolling,
            Self::Failure(strategy) => strategy,
        }
    }
}

impl DemoStrategy {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
            Self::Rolling => "rolling",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{DemoArgs, DemoScenario, DemoStrategy, ScenarioError};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    #[test]
    fn flags_choose_the_scenario() {
        for (line, scenario) in [
            ("x", Ok(DemoScenario::Promotion)),
            ("x --rollback", Ok(DemoScenario::RollBack)),
            ("x --strategy rolling", Ok(DemoScenario::Rolling)),
            ("x --strategy canary", Ok(DemoScenario::Canary)),
            (
                "x --fail --strategy canary",
                Ok(DemoScenario::Failure(DemoStrategy::Canary)),
            ),
            ("x --strategy canary --rollback", Err(ScenarioError)),
            (
                "x --fail",
                Ok(DemoScenario::Failure(DemoStrategy::BlueGreen)),
            ),
            (
                "x --fail --strategy rolling",
                Ok(DemoScenario::Failure(DemoStrategy::Rolling)),
            ),
            ("x --strategy rolling --rollback", Err(ScenarioError)),
        ] {
            let args = Line::try_parse_from(line.split(' ')).expect(line).demo;
            assert_eq!(DemoScenario::try_from(args), scenario, "{line}");
        }
        Line::try_parse_from(["x", "--fail", "--rollback"]).expect_err("one or the other");
    }
}
