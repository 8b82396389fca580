//! `viridian deployment update`.

use std::collections::BTreeMap;

use clap::Args;
use serde_json::{Map, Value};
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::{Deployment, UpdateDeploymentRequest};

use super::{
    CliSession, DeploymentError,
    change::ChangeArgs,
    policy::{PolicyArgs, StrategyArg},
    protocol::ProtocolArg,
    read,
    settings::{DeploymentSettings, PresentSettings},
    wait::WaitArgs,
};

use crate::{enum_names::qualified_name, key_value, names};

#[derive(Debug, Args)]
pub(super) struct UpdateArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
    /// Number of replicas of the serving revision.
    #[arg(long, value_name = "NUMBER")]
    replicas: Option<i32>,
    /// Label to add or change; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value::parse)]
    labels: Vec<(String, String)>,
    /// Label to remove; may be repeated.
    #[arg(long = "remove-label", value_name = "KEY")]
    removed_labels: Vec<String>,
    /// Number of old revisions to keep for roll-backs.
    #[arg(long, value_name = "NUMBER")]
    revision_history_limit: Option<i32>,
    /// What the replicas speak, for proxies. It replaces no replica.
    #[arg(long, value_enum)]
    protocol: Option<ProtocolArg>,
    /// Show what would change, and change nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub(super) async fn run(mut args: UpdateArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let deployment = read::deployment(&mut client, &args.deployment).await?;
    refuse_unnamed_strategy(&args.policy, &deployment)?;
    let tree = tree(&mut args, &deployment)?;
    if tree.is_empty() {
        return Err(DeploymentError::NothingNamed);
    }
    // The call replaces all labels: without this guard, a label that someone else set
    // since the read would be lost.
    let guard = tree.contains_key("labels").then_some(deployment.generation);
    let settings = DeploymentSettings::parse(&Value::Object(tree))?;
    let present = PresentSettings::new(&deployment, None)?;
    if args.dry_run {
        let plan = settings.plan(&qualified_name(&deployment), Some(&present))?;
        return session.show_value(&plan.value(), |style| plan.text(style));
    }
    let mut request = UpdateDeploymentRequest {
        deployment: args.deployment,
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation.or(guard),
        reason: args.change.reason,
        ..settings.update(&present)?
    };
    let mask = request.update_mask.get_or_insert_default();
    if mask.paths.is_empty() {
        // Only the present strategy was named: there is nothing to change.
        return session.show_deployment(&mut client, Some(deployment)).await;
    }
    let reply = unary(client.update_deployment(request)).await?;
    session
        .finish(&mut client, reply.deployment, &args.wait, |_| {
            WaitGoal::Settled
        })
        .await
}

/// Refuses flags of another strategy than the present one: they would change the strategy,
/// and with it settings that were not named.
fn refuse_unnamed_strategy(
    policy: &PolicyArgs,
    deployment: &Deployment,
) -> Result<(), DeploymentError> {
    let Some(present) = strategy(deployment) else {
        return Ok(());
    };
    match policy.implied_strategy(present) {
        Some((wanted, flags)) => Err(DeploymentError::StrategyNotNamed {
            deployment: qualified_name(deployment),
            present: present.name(),
            wanted: wanted.name(),
            flags,
        }),
        None => Ok(()),
    }
}

fn strategy(deployment: &Deployment) -> Option<StrategyArg> {
    let policy = deployment.policy.as_ref();
    policy
        .and_then(|it| it.strategy.as_ref())
        .map(StrategyArg::of)
}

/// The settings of the flags, in the form of a settings file.
fn tree(
    args: &mut UpdateArgs,
    deployment: &Deployment,
) -> Result<Map<String, Value>, DeploymentError> {
    let mut tree = Map::new();
    for (name, number) in [
        ("target_replicas", args.replicas),
        ("revision_history_limit", args.revision_history_limit),
    ] {
        tree.extend(number.map(|number| (name.to_owned(), number.into())));
    }
    if let Some(protocol) = args.protocol {
        tree.insert("protocol".to_owned(), protocol.name().into());
    }
    if !args.labels.is_empty() || !args.removed_labels.is_empty() {
        let labels = labels(&deployment.labels, &args.labels, &args.removed_labels);
        tree.insert("labels".to_owned(), labels.into_iter().collect());
    }
    let policy = std::mem::take(&mut args.policy).into_tree(strategy(deployment))?;
    if !policy.is_empty() {
        tree.insert("policy".to_owned(), policy.into());
    }
    Ok(tree)
}

fn labels(
    present: &BTreeMap<String, String>,
    add: &[(String, String)],
    remove: &[String],
) -> BTreeMap<String, String> {
    let mut labels = present.clone();
    // First, so that a label that is both removed and added gets its new value.
    labels.retain(|key, _| !remove.contains(key));
    labels.extend(add.iter().cloned());
    labels
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use serde_json::json;

    use super::{super::show::fixture, *};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        update: UpdateArgs,
    }

    fn tree_of(line: &str) -> Value {
        let mut args = Line::try_parse_from(line.split_whitespace()).expect(line);
        let deployment = fixture::at_the_gate();
        Value::Object(tree(&mut args.update, &deployment).expect(line))
    }

    #[test]
    fn only_named_settings_are_in_the_tree() {
        assert_eq!(tree_of("x a/b"), json!({}));
        assert_eq!(
            tree_of("x a/b --replicas 0 --protocol tcp --min-ready 5s"),
            json!({"target_replicas": 0, "protocol": "tcp", "policy": {"blue_green": {"min_ready": "5s"}}})
        );
    }

    #[test]
    fn labels_are_added_and_removed() {
        assert_eq!(
            tree_of("x a/b --label tier=db --label new=1 --remove-label team"),
            json!({"labels": {"tier": "db", "new": "1"}})
        );
    }
}
