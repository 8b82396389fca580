//! The flags of a policy: how a new revision replaces the current one.

use std::time::Duration;

use clap::{Args, ValueEnum};
use serde_json::{Map, Value, json};

use crate::duration;

mod amount;
mod step;
mod strategy;

pub(super) use self::{amount::ReplicaAmount, step::StepArg, strategy::StrategyArg};

#[derive(Debug, Default, Args)]
#[command(next_help_heading = "Policy")]
pub(super) struct PolicyArgs {
    /// How a new revision replaces the current one [default for a new deployment:
    /// blue-green].
    #[arg(long, value_enum)]
    strategy: Option<StrategyArg>,
    /// Canary: a step, WEIGHT[:HOLD][:manual][:replicas=AMOUNT]; repeat it for more
    /// [default: 5%:10m].
    ///
    /// The new routes get this share of the traffic, like 5% or 2.5%, and keep it for
    /// the hold, like 10m. With manual someone has to advance the step after that.
    /// Weights rise from step to step; a first one of 0% starts new routes without
    /// traffic. AMOUNT is the number of new routes of the step, like 3 or 25%, instead
    /// of the weight's part of the replicas.
    #[arg(long = "step", value_name = "STEP")]
    steps: Vec<StepArg>,
    /// Blue-green, canary: promote automatically when all new routes are ready, and all
    /// steps are over [default: false].
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
    /// Blue-green, canary: how long all new routes must be ready before any promotion,
    /// and before each step [default: 0s].
    ///
    /// Raise it for programs that tend to crash shortly after their start.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    min_ready: Option<Duration>,
    /// Blue-green, canary: how long the old routes keep running without traffic after a
    /// promotion [default: 30s].
    ///
    /// A roll-back within this time is instant. It costs the resources of both
    /// revisions.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    scale_down_delay: Option<Duration>,
    /// Blue-green, canary: how many failed new routes are replaced in one rollout
    /// [default: as many as there are replicas].
    ///
    /// When they are used up and no new route is left, the rollout is rolled back. 0
    /// replaces none.
    #[arg(long, value_name = "NUMBER")]
    max_replacements: Option<i32>,
    /// Blue-green, canary: how many new routes must be ready for a promotion, like 3 or
    /// 80% [default: 100%].
    ///
    /// The others get traffic as soon as they are ready. Lower it where a few replicas
    /// may be slow to start, and fewer can carry the load for a while.
    #[arg(long, value_name = "AMOUNT")]
    ready_threshold: Option<ReplicaAmount>,
    /// Blue-green, canary: how long to wait for a manual promotion, or at a manual step
    /// [default: for ever].
    ///
    /// After that --gate-action happens.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "gate_action")]
    gate_timeout: Option<Duration>,
    /// Blue-green, canary: what happens after --gate-timeout. At a manual step,
    /// promote advances it.
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
enum GateActionArg {
    /// Keep waiting.
    Hold,
    /// Roll back to the current revision.
    Rollback,
    /// Promote the new revision.
    Promote,
}

/// Flags that are not of the strategy.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{flags} cannot be combined with the {strategy} strategy")]
pub(crate) struct MixedStrategiesError {
    pub(super) flags: String,
    pub(super) strategy: &'static str,
}

impl PolicyArgs {
    /// The strategy that flags imply without naming it, and those flags, if the present
    /// one does not have them.
    pub(super) fn implied_strategy(&self, present: StrategyArg) -> Option<(StrategyArg, String)> {
        let implied = self.chosen(Some(present)).filter(|&it| it != present);
        let implied = implied.filter(|_| self.strategy.is_none())?;
        let settings = self.settings().into_iter();
        let foreign = settings.filter(|it| !it.strategies.contains(&present));
        Some((implied, flags(foreign)))
    }

    /// The settings of the given flags, in the form of a settings file. What several
    /// strategies have is for the present one.
    pub(super) fn into_tree(
        self,
        present: Option<StrategyArg>,
    ) -> Result<Map<String, Value>, MixedStrategiesError> {
        let mut policy = Map::new();
        if let Some(chosen) = self.chosen(present) {
            let settings = self.settings().into_iter();
            let (own, others): (Vec<_>, Vec<_>) =
                settings.partition(|it| it.strategies.contains(&chosen));
            if !others.is_empty() {
                return Err(MixedStrategiesError {
                    flags: flags(others),
                    strategy: chosen.name(),
                });
            }
            let own = own.into_iter().map(|it| (it.name.to_owned(), it.value));
            policy.insert(chosen.field().to_owned(), Value::Object(own.collect()));
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

    /// The strategy that is named, or that a flag implies, so that --strategy is rarely
    /// needed.
    fn chosen(&self, present: Option<StrategyArg>) -> Option<StrategyArg> {
        let settings = self.settings();
        let has = |strategy| settings.iter().all(|it| it.strategies.contains(&strategy));
        let mut orders = present.into_iter().chain(StrategyArg::ALL);
        match (self.strategy, settings.first()) {
            (Some(named), _) => Some(named),
            (None, None) => None,
            // If none has all of them, the first one's counts: the rest is refused.
            (None, Some(first)) => orders
                .find(|&strategy| has(strategy))
                .or(first.strategies.first().copied()),
        }
    }

    /// The settings of strategies that have a value.
    fn settings(&self) -> Vec<StrategySetting> {
        use StrategyArg::{BlueGreen, Canary, Rolling};
        let text = |duration: Option<Duration>| duration.map(|it| duration::to_text(it).into());
        let steps = Some(&self.steps).filter(|it| !it.is_empty()).cloned();
        // clap requires both or neither.
        let timeout = self.gate_timeout.zip(self.gate_action);
        let timeout = timeout.map(|(duration, action)| {
            let action = action
                .to_possible_value()
                .map(|it| it.get_name().to_owned());
            json!({"duration": duration::to_text(duration), "action": action})
        });
        let replacements = self.max_replacements.map(Value::from);
        let threshold = self.ready_threshold.map(Value::from);
        let unavailable = self.max_unavailable.map(Value::from);
        let all: [(&'static [_], _, _); 10] = [
            (&[Canary], "steps", steps.map(Value::from)),
            (&[BlueGreen], "promote_delay", text(self.promote_delay)),
            (&[Rolling], "max_surge", self.max_surge.map(Value::from)),
            (&[Rolling], "max_unavailable", unavailable),
            (BOTH, "auto_promote", self.auto_promote.map(Value::from)),
            (BOTH, "min_ready", text(self.min_ready)),
            (BOTH, "max_replacements", replacements),
            (BOTH, "ready_threshold", threshold),
            (BOTH, "scale_down_delay", text(self.scale_down_delay)),
            (BOTH, "gate_timeout", timeout),
        ];
        let given = all.into_iter().filter_map(|(strategies, name, value)| {
            let value = value?;
            Some(StrategySetting {
                strategies,
                name,
                value,
            })
        });
        given.collect()
    }
}

/// A setting that only some strategies have.
#[derive(Debug)]
struct StrategySetting {
    strategies: &'static [StrategyArg],
    name: &'static str,
    value: Value,
}

/// What blue-green and canary share. A new deployment is blue-green unless it is named.
const BOTH: &[StrategyArg] = &[StrategyArg::BlueGreen, StrategyArg::Canary];

/// The flags of settings, as they are typed.
fn flags(settings: impl IntoIterator<Item = StrategySetting>) -> String {
    let flags = settings.into_iter().map(|it| match it.name {
        "steps" => "--step".to_owned(),
        name => format!("--{}", name.replace('_', "-")),
    });
    flags.collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::{Value, json};

    use super::{MixedStrategiesError, PolicyArgs, StrategyArg};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        policy: PolicyArgs,
    }

    fn policy(line: &str) -> Result<Value, MixedStrategiesError> {
        let args = Line::try_parse_from(line.split_whitespace()).expect(line);
        args.policy.into_tree(None).map(Value::Object)
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
            policy("x --step 5%:10m --step 25%:manual --auto-promote"),
            Ok(json!({"canary": {"auto_promote": true, "steps": [
                {"weight": "5%", "hold": "600s"},
                {"weight": "25%", "manual": true},
            ]}}))
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
        assert_eq!(policy("x --strategy canary"), Ok(json!({"canary": {}})));
    }

    #[test]
    fn b4_a_strategy_that_is_not_named_is_told_apart() {
        use StrategyArg::{BlueGreen, Canary, Rolling};
        let implied = |line: &str, present| {
            let args = Line::try_parse_from(line.split_whitespace()).expect(line);
            args.policy.implied_strategy(present)
        };
        let rolling = (Rolling, "--max-surge --max-unavailable".to_owned());
        let line = "x --max-unavailable 1 --max-surge 0";
        assert_eq!(implied(line, BlueGreen), Some(rolling));
        let promotes = Some((BlueGreen, "--auto-promote".to_owned()));
        assert_eq!(implied("x --auto-promote", Rolling), promotes);
        let steps = Some((Canary, "--step".to_owned()));
        assert_eq!(implied("x --auto-promote --step 5%", BlueGreen), steps);
        let delay = Some((BlueGreen, "--promote-delay".to_owned()));
        assert_eq!(implied("x --promote-delay 5s", Canary), delay);
        for (line, present) in [
            (
                "x --auto-promote --gate-timeout 1h --gate-action hold",
                Canary,
            ),
            ("x --strategy rolling --max-surge 1", BlueGreen),
            ("x --drain-grace 1s", Canary),
        ] {
            assert_eq!(implied(line, present), None, "{line}");
        }
    }

    #[test]
    fn two_strategies_do_not_mix() {
        for (line, flags, strategy) in [
            (
                "x --auto-promote --max-surge 1",
                "--auto-promote",
                "rolling",
            ),
            (
                "x --strategy rolling --promote-delay 5s",
                "--promote-delay",
                "rolling",
            ),
            (
                "x --strategy blue-green --max-surge 1",
                "--max-surge",
                "blue-green",
            ),
            ("x --strategy blue-green --step 5%", "--step", "blue-green"),
            (
                "x --step 5% --promote-delay 5s",
                "--promote-delay",
                "canary",
            ),
        ] {
            let error = MixedStrategiesError {
                flags: flags.to_owned(),
                strategy,
            };
            assert_eq!(policy(line), Err(error), "{line}");
        }
    }

    #[test]
    fn flags_that_two_strategies_share_are_for_the_present_one() {
        let line = "x --min-ready 5s";
        for (present, field) in [
            (StrategyArg::Canary, "canary"),
            (StrategyArg::BlueGreen, "blue_green"),
            (StrategyArg::Rolling, "blue_green"),
        ] {
            let args = Line::try_parse_from(line.split_whitespace()).expect(line);
            let tree = args.policy.into_tree(Some(present)).map(Value::Object);
            assert_eq!(tree, Ok(json!({field: {"min_ready": "5s"}})), "{present:?}");
        }
    }
}
