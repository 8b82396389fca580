//! The flags of a policy: how a new revision replaces the current one.

use std::{str::FromStr, time::Duration};

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::duration;

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// How a new revision replaces the current one [default for a new deployment:
    /// blue-green].
    #[arg(long, value_enum)]
    strategy: Option<StrategyArg>,
    /// Blue-green: promote automatically when all new routes are ready [default:
    /// false].
    ///
    /// Without it someone promotes by hand. --auto-promote=false turns it off.
    #[arg(
        long,
        num_args = 0..=1,
        // Without this, `--auto-promote shop/cart` would take the deployment for the value.
        require_equals = true,
        default_missing_value = "true",
        value_name = "true|false"
    )]
    auto_promote: Option<bool>,
    /// Blue-green: how long all new routes must be ready before an automatic
    /// promotion [default: 0s].
    ///
    /// A manual promotion does not wait for it.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    promote_delay: Option<Duration>,
    /// Blue-green: how long all new routes must be ready before any promotion
    /// [default: 0s].
    ///
    /// Raise it for programs that tend to crash shortly after their start.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_ready: Option<Duration>,
    /// Blue-green: how long the old routes keep running without traffic after a
    /// promotion [default: 30s].
    ///
    /// A roll-back within this time is instant. It costs the resources of both
    /// revisions.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    scale_down_delay: Option<Duration>,
    /// Blue-green: how many failed new routes are replaced in one rollout [default: as
    /// many as there are replicas].
    ///
    /// When they are used up and no new route is left, the rollout is rolled back. 0
    /// replaces none.
    #[arg(long, value_name = "NUMBER")]
    max_replacements: Option<i32>,
    /// Blue-green: how many new routes must be ready for a promotion, like 3 or 80%
    /// [default: 100%].
    ///
    /// The others get traffic as soon as they are ready. Lower it where a few replicas
    /// may be slow to start, and fewer can carry the load for a while.
    #[arg(long, value_name = "AMOUNT")]
    ready_threshold: Option<ReplicaAmount>,
    /// Blue-green: how long to wait for a manual promotion [default: for ever].
    ///
    /// After that --gate-action happens.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "gate_action")]
    gate_timeout: Option<Duration>,
    /// Blue-green: what to do if there is no promotion within --gate-timeout.
    #[arg(long, value_enum, requires = "gate_timeout")]
    gate_action: Option<GateActionArg>,
    /// Rolling: how many routes may run above the number of replicas, like 2 or 25%
    /// [default: 25%].
    ///
    /// More is faster, and needs more resources during the update.
    #[arg(long, value_name = "AMOUNT")]
    max_surge: Option<ReplicaAmount>,
    /// Rolling: how many routes may be missing from the number of replicas, like 2 or
    /// 25% [default: 0].
    ///
    /// Use it where no resources are left for more routes.
    #[arg(long, value_name = "AMOUNT")]
    max_unavailable: Option<ReplicaAmount>,
    /// How long a rollout may make no progress before it is rolled back [default for a
    /// new deployment: 10m].
    ///
    /// Raise it if replicas need longer to start.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    progress_deadline: Option<Duration>,
    /// How long a route keeps running after it has lost its traffic [default for a new
    /// deployment: 5s].
    ///
    /// Open requests can finish in this time, and proxies stop sending new ones.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    drain_grace: Option<Duration>,
    /// How long the first version of a deployment may take to come up [default: as long
    /// as --progress-deadline].
    ///
    /// After that the deployment is reported as failed: waits end, and an alert can fire.
    /// Its replicas are started on, since there is no version to go back to.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    first_deadline: Option<Duration>,

    /// How long a route that serves may be UNHEALTHY before it is replaced [default: never]
    ///
    /// A new route comes first, and at most a quarter of the routes, but at least one, is
    /// replaced at a time. Set this if replicas can hang without ending.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    replace_unhealthy_after: Option<Duration>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StrategyArg {
    /// Start all new routes without traffic, then switch all traffic at once.
    BlueGreen,
    /// Replace routes step by step.
    Rolling,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum GateActionArg {
    /// Keep waiting.
    Hold,
    /// Roll back to the current revision.
    Rollback,
    /// Promote the new revision.
    Promote,
}

/// A number of routes, or a percentage of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReplicaAmount {
    Count(i32),
    Percent(i32),
}

/// Flags of two strategies.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("flags of the blue-green and of the rolling strategy cannot be combined")]
pub(crate) struct MixedStrategiesError;

/// A text that is not an amount.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of routes, or a percentage like 25%")]
pub(super) struct ReplicaAmountError;

impl PolicyArgs {
    /// The strategy that flags imply without naming it, by the name of --strategy, and
    /// those flags.
    pub(super) fn implied_strategy(&self) -> Option<(&'static str, Vec<String>)> {
        if self.strategy.is_some() {
            return None;
        }
        let flags = |settings: Map<String, Value>| {
            let names = settings
                .keys()
                .map(|name| format!("--{}", name.replace('_', "-")));
            names.collect::<Vec<_>>()
        };
        let (blue_green, rolling) = (flags(self.blue_green()), flags(self.rolling()));
        if !rolling.is_empty() {
            Some(("rolling", rolling))
        } else if !blue_green.is_empty() {
            Some(("blue-green", blue_green))
        } else {
            None
        }
    }

    /// The settings of the given flags, in the form of a settings file.
    pub(super) fn into_tree(self) -> Result<Map<String, Value>, MixedStrategiesError> {
        let mut policy = Map::new();
        if let Some((name, settings)) = self.strategy()? {
            policy.insert(name.to_owned(), settings.into());
        }
        for (name, duration) in [
            ("progress_deadline", self.progress_deadline),
            ("drain_grace", self.drain_grace),
            ("first_deadline", self.first_deadline),
            ("replace_unhealthy_after", self.replace_unhealthy_after),
        ] {
            let text = duration.map(duration::to_text);
            policy.extend(text.map(|text| (name.to_owned(), text.into())));
        }
        Ok(policy)
    }

    fn strategy(&self) -> Result<Option<NamedStrategy>, MixedStrategiesError> {
        let (blue_green, rolling) = (self.blue_green(), self.rolling());
        // A flag of a strategy implies the strategy, so that --strategy is rarely needed.
        match (self.strategy, blue_green.is_empty(), rolling.is_empty()) {
            (None, true, true) => Ok(None),
            (None | Some(StrategyArg::BlueGreen), _, true) => Ok(Some(("blue_green", blue_green))),
            (None | Some(StrategyArg::Rolling), true, _) => Ok(Some(("rolling_update", rolling))),
            _ => Err(MixedStrategiesError),
        }
    }

    fn blue_green(&self) -> Map<String, Value> {
        let text = |duration: Option<Duration>| duration.map(|it| duration::to_text(it).into());
        // clap requires both or neither.
        let timeout = self.gate_timeout.zip(self.gate_action);
        let timeout = timeout.map(|(duration, action)| {
            let action = action
                .to_possible_value()
                .map(|it| it.get_name().to_owned());
            json!({"duration": duration::to_text(duration), "action": action})
        });
        settings([
            ("auto_promote", self.auto_promote.map(Value::from)),
            ("promote_delay", text(self.promote_delay)),
            ("min_ready", text(self.min_ready)),
            ("max_replacements", self.max_replacements.map(Value::from)),
            ("ready_threshold", self.ready_threshold.map(Value::from)),
            ("scale_down_delay", text(self.scale_down_delay)),
            ("gate_timeout", timeout),
        ])
    }

    fn rolling(&self) -> Map<String, Value> {
        settings([
            ("max_surge", self.max_surge.map(Value::from)),
            ("max_unavailable", self.max_unavailable.map(Value::from)),
        ])
    }
}

/// The name of a strategy in settings files, and its settings.
type NamedStrategy = (&'static str, Map<String, Value>);

/// The settings that have a value.
fn settings<const N: usize>(settings: [(&str, Option<Value>); N]) -> Map<String, Value> {
    let given = settings
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)));
    given.collect()
}

impl FromStr for ReplicaAmount {
    type Err = ReplicaAmountError;

    fn from_str(text: &str) -> Result<Self, ReplicaAmountError> {
        let (digits, amount): (_, fn(i32) -> Self) = match text.strip_suffix('%') {
            Some(digits) => (digits, Self::Percent),
            None => (text, Self::Count),
        };
        digits.parse().map(amount).map_err(|_| ReplicaAmountError)
    }
}

impl From<ReplicaAmount> for Value {
    fn from(amount: ReplicaAmount) -> Self {
        match amount {
            ReplicaAmount::Count(count) => count.into(),
            ReplicaAmount::Percent(percent) => format!("{percent}%").into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::{MixedStrategiesError, PolicyArgs};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn policy(line: &str) -> Result<Value, MixedStrategiesError> {
        let args = Line::try_parse_from(line.split_whitespace()).expect(line);
        args.policy.into_tree().map(Value::Object)
    }

    #[test]
    fn no_flag_leaves_the_policy_to_the_server() {
        assert_eq!(policy("x"), Ok(json!({})));
        assert_eq!(
            policy("x --drain-grace 2s"),
            Ok(json!({"drain_grace": "2s"}))
        );
    }

    #[test]
    fn a_flag_of_a_strategy_implies_it() {
        assert_eq!(
            policy("x --auto-promote --min-ready 1m"),
            Ok(json!({"blue_green": {"auto_promote": true, "min_ready": "60s"}}))
        );
        assert_eq!(
            policy("x --auto-promote=false --gate-timeout 1h --gate-action rollback"),
            Ok(json!({"blue_green": {
                "auto_promote": false,
                "gate_timeout": {"duration": "3600s", "action": "rollback"},
            }}))
        );
        assert_eq!(
            policy("x --max-surge 25% --max-unavailable 1"),
            Ok(json!({"rolling_update": {"max_surge": "25%", "max_unavailable": 1}}))
        );
    }

    #[test]
    fn a_strategy_can_be_chosen_without_its_settings() {
        assert_eq!(
            policy("x --strategy blue-green"),
            Ok(json!({"blue_green": {}}))
        );
        assert_eq!(
            policy("x --strategy rolling"),
            Ok(json!({"rolling_update": {}}))
        );
    }

    #[test]
    fn b4_a_strategy_that_is_not_named_is_told_apart() {
        let implied = |line: &str| {
            let args = Line::try_parse_from(line.split_whitespace()).expect(line);
            args.policy.implied_strategy()
        };
        let flags = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect::<Vec<_>>();
        assert_eq!(
            implied("x --max-unavailable 1 --max-surge 0"),
            Some(("rolling", flags(&["--max-surge", "--max-unavailable"])))
        );
        assert_eq!(
            implied("x --auto-promote"),
            Some(("blue-green", flags(&["--auto-promote"])))
        );
        assert_eq!(implied("x --strategy rolling --max-surge 1"), None);
        assert_eq!(implied("x --drain-grace 1s"), None);
    }

    #[test]
    fn two_strategies_do_not_mix() {
        for line in [
            "x --auto-promote --max-surge 1",
            "x --strategy rolling --promote-delay 5s",
            "x --strategy blue-green --max-surge 1",
        ] {
            assert_eq!(policy(line), Err(MixedStrategiesError), "{line}");
        }
    }

    #[test]
    fn an_amount_is_a_number_or_a_percentage() {
        for text in ["", "%", "x", "1.5", "25 %"] {
            assert!(text.parse::<super::ReplicaAmount>().is_err(), "{text}");
        }
    }
}
