//! The strategies, by the names of flags and of settings files.

use clap::ValueEnum;
use viridian_proto::v1::deployment_policy::Strategy;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(in crate::deployment) enum StrategyArg {
    /// Start all new routes without traffic, then switch all traffic at once.
    BlueGreen,
    /// Give the new routes a share of the traffic that grows by steps, then the rest.
    Canary,
    /// Replace routes step by step.
    Rolling,
}

impl StrategyArg {
    /// In the order in which flags choose one.
    pub(super) const ALL: [Self; 3] = [Self::BlueGreen, Self::Canary, Self::Rolling];

    /// The strategy of a policy.
    pub(in crate::deployment) fn of(strategy: &Strategy) -> Self {
        match strategy {
            Strategy::BlueGreen(_) => Self::BlueGreen,
            Strategy::Canary(_) => Self::Canary,
            Strategy::RollingUpdate(_) => Self::Rolling,
        }
    }

    /// By the name of --strategy.
    pub(in crate::deployment) fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue-green",
            Self::Canary => "canary",
            Self::Rolling => "rolling",
        }
    }

    /// The name in settings files.
    pub(super) fn field(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue_green",
            Self::Canary => "canary",
            Self::Rolling => "rolling_update",
        }
    }
}
