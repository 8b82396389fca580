//! `viridian deployment create`.

use std::{fmt, str::FromStr};

use clap::Args;
use viridian_proto::v1::{CreateDeploymentRequest, DeploymentMetadata};

use super::{
    DeploymentError, Session,
    change::ChangeArgs,
    policy::PolicyArgs,
    spec::SpecArgs,
    wait::{Goal, WaitArgs},
};
use crate::{client::answer, pair};

#[derive(Debug, Args)]
pub(super) struct CreateArgs {
    /// The project and the name in it.
    #[arg(value_name = "PROJECT/NAME")]
    pub(super) name: QualifiedName,
    /// How many replicas ought to serve.
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    replicas: i32,
    /// A label to select by; may be repeated.
    #[arg(long = "label", value_name = "KEY=VALUE", value_parser = pair::parse)]
    labels: Vec<(String, String)>,
    /// The group of machines that runs it.
    #[arg(long, value_name = "GROUP", default_value = "default")]
    resource_group: String,
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

/// Why a text is no `PROJECT/NAME`.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("write PROJECT/NAME")]
pub(super) struct NameError;

impl FromStr for QualifiedName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('/') {
            Some((project, name)) if !project.is_empty() && !name.is_empty() => Ok(Self {
                project: project.to_owned(),
                name: name.to_owned(),
            }),
            _ => Err(NameError),
        }
    }
}

impl CreateArgs {
    fn into_request(self) -> Result<(CreateDeploymentRequest, WaitArgs), DeploymentError> {
        let request = CreateDeploymentRequest {
            project: self.name.project,
            name: self.name.name,
            target_replicas: self.replicas,
            policy: self.policy.into_policy()?,
            labels: self.labels.into_iter().collect(),
            metadata: Some(DeploymentMetadata {
                resource_group: self.resource_group,
                ..DeploymentMetadata::default()
            }),
            initial_revision: self.spec.into_spec(),
            request_id: self.change.request_id,
            expected_generation: self.change.expected_generation,
            reason: self.change.reason,
            ..CreateDeploymentRequest::default()
        };
        Ok((request, self.wait))
    }
}

impl fmt::Display for QualifiedName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.project, self.name)
    }
}

pub(super) async fn run(args: CreateArgs, session: &Session) -> Result<(), DeploymentError> {
    let (request, wait) = args.into_request()?;
    let mut client = session.connect().await?;
    let reply = answer(client.create_deployment(request)).await?;
    session
        .finish(&mut client, reply.deployment, &wait, Goal::of_activation)
        .await
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{CreateArgs, NameError, QualifiedName};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        create: CreateArgs,
    }

    #[test]
    fn flags_become_the_request() {
        let line = "x demo/hello --replicas 3 --label tier=web --auto-promote \
                    --reason because --expected-generation 0 -- program -v";
        let request = Line::try_parse_from(line.split_whitespace())
            .expect(line)
            .create
            .into_request()
            .expect(line)
            .0;
        assert_eq!(
            (request.project.as_str(), request.name.as_str()),
            ("demo", "hello")
        );
        assert_eq!(request.target_replicas, 3);
        assert_eq!(request.labels.get("tier").map(String::as_str), Some("web"));
        assert_eq!(request.reason, "because");
        assert_eq!(request.expected_generation, Some(0));
        let resource_group = request.metadata.map(|it| it.resource_group);
        assert_eq!(resource_group.as_deref(), Some("default"));
        let command = request.initial_revision.map(|it| it.command);
        assert_eq!(command, Some(vec!["program".to_owned(), "-v".to_owned()]));
    }

    #[test]
    fn a_name_has_a_project() {
        for text in ["hello", "/hello", "demo/", ""] {
            assert_eq!(text.parse::<QualifiedName>(), Err(NameError), "{text}");
        }
    }
}
