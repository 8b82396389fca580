//! `viridian deployment create`.

use std::{fmt, mem, str::FromStr};

use clap::Args;
use serde_json::json;
use viridian_client::{WaitGoal, unary};
use viridian_proto::v1::CreateDeploymentRequest;

use super::{
    CliSession, DeploymentError, change::ChangeArgs, policy::PolicyArgs, protocol::ProtocolArg,
    settings::DeploymentSettings, spec::SpecArgs, wait::WaitArgs,
};

use crate::key_value;

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// Project and name of the deployment.
    #[arg(value_name = "PROJECT/NAME")]
    pub(super) name: QualifiedName,
    /// Number of replicas of the serving revision.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    replicas: i32,
    /// Label, which `list --selector` can select by; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = key_value::parse)]
    labels: Vec<(String, String)>,
    /// Resource group that runs the replicas: agents with the same --resource-group.
    #[arg(long, value_name = "GROUP", default_value = "default")]
    resource_group: String,
    /// What the replicas speak, for proxies [default: http1].
    #[arg(long, value_enum)]
    protocol: Option<ProtocolArg>,
    /// Show what would be created, and create nothing.
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    policy: PolicyArgs,
    #[command(flatten)]
    change: ChangeArgs,
    #[command(flatten)]
    wait: WaitArgs,
    #[command(flatten)]
    spec: SpecArgs,
}

/// `PROJECT/NAME`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QualifiedName {
    project: String,
    name: String,
}

/// A text that is not `PROJECT/NAME`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected PROJECT/NAME")]
pub(super) struct QualifiedNameError;

impl FromStr for QualifiedName {
    type Err = QualifiedNameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            // Which characters a name may have is up to the server.
            Some((project, name)) if !project.is_empty() && !name.is_empty() => Ok(Self {
                project: project.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(QualifiedNameError),
        }
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

impl CreateArgs {
    fn settings(&mut self) -> Result<DeploymentSettings, DeploymentError> {
        let mut tree = json!({
            "project": self.name.project,
            "name": self.name.name,
            "target_replicas": self.replicas,
            "metadata": {"resource_group": self.resource_group},
        });
        // Absent keys leave the defaults to the server.
        let labels = mem::take(&mut self.labels);
        if !labels.is_empty() {
            tree["labels"] = labels.into_iter().collect();
        }
        if let Some(protocol) = self.protocol {
            tree["protocol"] = protocol.name().into();
        }
        let policy = mem::take(&mut self.policy).into_tree(None)?;
        if !policy.is_empty() {
            tree["policy"] = policy.into();
        }
        let spec = mem::take(&mut self.spec).into_spec();
        Ok(DeploymentSettings::parse(&tree)?.with_revision(spec))
    }
}

pub(super) async fn run(mut args: CreateArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let settings = args.settings()?;
    if args.dry_run {
        let plan = settings.plan(&args.name.to_string(), None)?;
        return session.show_value(&plan.value(), |style| plan.text(style));
    }
    let request = CreateDeploymentRequest {
        request_id: args.change.request_id,
        expected_generation: args.change.expected_generation,
        reason: args.change.reason,
        ..settings.creation()
    };
    let mut client = session.connect().await?;
    let reply = unary(client.create_deployment(request)).await?;
    session
        .finish(
            &mut client,
            reply.deployment,
            &args.wait,
            WaitGoal::of_activation,
        )
        .await
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use viridian_proto::v1::DeploymentProtocol;

    use super::{CreateArgs, QualifiedName, QualifiedNameError};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateArgs,
    }

    #[test]
    fn flags_become_the_request() {
        let line = "x demo/hello --replicas 3 --label tier=web --auto-promote \
                    --protocol http2 --reason because --expected-generation 0 -- program -v";
        let mut args = Line::try_parse_from(line.split_whitespace())
            .expect(line)
            .create;
        let request = args.settings().expect(line).creation();
        assert_eq!(
            (request.project.as_str(), request.name.as_str()),
            ("demo", "hello")
        );
        assert_eq!(request.target_replicas, 3);
        assert_eq!(request.protocol(), DeploymentProtocol::Http2);
        assert_eq!(request.labels.get("tier").map(String::as_str), Some("web"));
        assert_eq!(args.change.reason, "because");
        assert_eq!(args.change.expected_generation, Some(0));
        let resource_group = request.metadata.map(|it| it.resource_group);
        assert_eq!(resource_group.as_deref(), Some("default"));
        let command = request.initial_revision.map(|it| it.command);
        assert_eq!(command, Some(vec!["program".to_owned(), "-v".to_owned()]));
    }

    #[test]
    fn a_name_has_a_project() {
        for text in ["hello", "/hello", "demo/", ""] {
            assert_eq!(
                text.parse::<QualifiedName>(),
                Err(QualifiedNameError),
                "{text}"
            );
        }
    }
}
