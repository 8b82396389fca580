//! How a new revision replaces the current one: the flags of a policy.

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use viridian_proto::v1::{
    BlueGreenSpec, DeploymentPolicy, IntOrPercent, RollingUpdateSpec, deployment_policy,
    int_or_percent,
};

use crate::duration;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// How a new revision replaces the current one [default: blue-green].
    #[arg(long, value_enum)]
    strategy: Option<Strategy>,
    /// Blue-green: promote without being asked to.
    #[arg(long)]
    auto_promote: bool,
    /// Blue-green: how long all new routes must have been ready before an
    /// automatic promotion.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    promote_delay: Option<Duration>,
    /// Blue-green: how long all new routes must have been ready before anyone
    /// may promote.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_ready: Option<Duration>,
    /// Blue-green: how long the old routes are kept for an instant roll-back.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    scale_down_delay: Option<Duration>,
    /// Rolling: how many routes above the target may run, as 2 or 25%.
    #[arg(long, value_name = "AMOUNT")]
    max_surge: Option<Amount>,
    /// Rolling: how many routes below the target may be ready, as 2 or 25%.
    #[arg(long, value_name = "AMOUNT")]
    max_unavailable: Option<Amount>,
    /// How long a rollout may make no progress before it is rolled back
    /// [default: 10m].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    progress_deadline: Option<Duration>,
    /// How long a route goes on running after it lost its traffic [default: 5s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    drain_grace: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Strategy {
    /// Bring all new routes up without traffic, then switch at once.
    BlueGreen,
    /// Replace routes step by step.
    Rolling,
}

/// A count, or a percentage of the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Amount {
    Count(i32),
    Percent(i32),
}

/// Why the flags make no policy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("flags of the blue-green and of the rolling strategy do not go together")]
pub(crate) struct PolicyError;

/// Why a text is no amount.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a number of routes, or a percentage like 25%")]
struct AmountError;

impl PolicyArgs {
    /// The policy, if a flag asks for anything; the server fills in the rest.
    pub(super) fn into_policy(self) -> Result<Option<DeploymentPolicy>, PolicyError> {
        let policy = DeploymentPolicy {
            strategy: self.strategy()?,
            progress_deadline: self.progress_deadline.map(duration::to_wire),
            drain_grace: self.drain_grace.map(duration::to_wire),
        };
        Ok((policy != DeploymentPolicy::default()).then_some(policy))
    }

    fn strategy(&self) -> Result<Option<deployment_policy::Strategy>, PolicyError> {
        let blue_green = BlueGreenSpec {
            auto_promote: self.auto_promote,
            promote_delay: self.promote_delay.map(duration::to_wire),
            min_ready: self.min_ready.map(duration::to_wire),
            scale_down_delay: self.scale_down_delay.map(duration::to_wire),
            ..BlueGreenSpec::default()
        };
        let rolling = RollingUpdateSpec {
            max_surge: self.max_surge.map(IntOrPercent::from),
            max_unavailable: self.max_unavailable.map(IntOrPercent::from),
        };
        let asked = (
            self.strategy,
            blue_green != BlueGreenSpec::default(),
            rolling != RollingUpdateSpec::default(),
        );
        match asked {
            (None, false, false) => Ok(None),
            (None | Some(Strategy::BlueGreen), _, false) => {
                Ok(Some(deployment_policy::Strategy::BlueGreen(blue_green)))
            }
            (None | Some(Strategy::Rolling), false, _) => {
                Ok(Some(deployment_policy::Strategy::RollingUpdate(rolling)))
            }
            _ => Err(PolicyError),
        }
    }
}

impl FromStr for Amount {
    type Err = AmountError;

    fn from_str(text: &str) -> Result<Self, AmountError> {
        let (digits, amount): (_, fn(i32) -> Self) = match text.strip_suffix('%') {
            Some(digits) => (digits, Self::Percent),
            None => (text, Self::Count),
        };
        digits.parse().map(amount).map_err(|_| AmountError)
    }
}

impl From<Amount> for IntOrPercent {
    fn from(amount: Amount) -> Self {
        let value = match amount {
            Amount::Count(count) => int_or_percent::Value::Count(count),
            Amount::Percent(percent) => int_or_percent::Value::Percent(percent),
        };
        Self { value: Some(value) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use viridian_proto::v1::{
        DeploymentPolicy, deployment_policy::Strategy, int_or_percent::Value,
    };

    use super::{PolicyArgs, PolicyError};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn policy(line: &str) -> Result<Option<DeploymentPolicy>, PolicyError> {
        Line::try_parse_from(line.split_whitespace())
            .expect(line)
            .policy
            .into_policy()
    }

    fn strategy(line: &str) -> Option<Strategy> {
        policy(line).expect(line).expect(line).strategy
    }

    #[test]
    fn no_flag_leaves_the_policy_to_the_server() {
        assert_eq!(policy("x"), Ok(None));
        assert_eq!(strategy("x --drain-grace 2s"), None);
    }

    #[test]
    fn a_flag_of_a_strategy_implies_it() {
        let Some(Strategy::BlueGreen(spec)) = strategy("x --auto-promote --min-ready 1m") else {
            panic!("not blue-green");
        };
        assert!(spec.auto_promote);
        assert_eq!(spec.min_ready.map(|it| it.seconds), Some(60));

        let Some(Strategy::RollingUpdate(spec)) = strategy("x --max-surge 25%") else {
            panic!("not rolling");
        };
        assert_eq!(
            spec.max_surge.and_then(|it| it.value),
            Some(Value::Percent(25))
        );
        assert_eq!(spec.max_unavailable, None);
    }

    #[test]
    fn a_strategy_without_flags_is_sent_as_asked() {
        assert!(matches!(
            strategy("x --strategy blue-green"),
            Some(Strategy::BlueGreen(_))
        ));
        assert!(matches!(
            strategy("x --strategy rolling --max-unavailable 1"),
            Some(Strategy::RollingUpdate(_))
        ));
    }

    #[test]
    fn two_strategies_do_not_mix() {
        for line in [
            "x --auto-promote --max-surge 1",
            "x --strategy rolling --promote-delay 5s",
            "x --strategy blue-green --max-surge 1",
        ] {
            assert_eq!(policy(line), Err(PolicyError), "{line}");
        }
    }

    #[test]
    fn an_amount_is_a_number_or_a_percentage() {
        for text in ["", "%", "x", "1.5", "25 %"] {
            assert!(text.parse::<super::Amount>().is_err(), "{text}");
        }
    }
}
