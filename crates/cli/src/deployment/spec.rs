//! The flags of a revision: what its routes run.

use std::time::Duration;

use clap::{ArgGroup, Args};
use viridian_proto::v1::{EnvironSource, HealthCheck, RevisionSpec};

use super::environ_source;
use crate::{duration, key_value};

/// The flags of a revision. There is one if a flag of the group `program` is given.
#[derive(Debug, Default, Args)]
#[command(
    next_help_heading = "Revision",
    group = ArgGroup::new("program").args(["image", "command"]).multiple(true)
)]
pub(super) struct SpecArgs {
    /// Container image, for schedulers that run containers.
    #[arg(long)]
    image: Option<String>,
    /// Environment variable of the replicas; may be repeated.
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = key_value::parse, requires = "program")]
    environ: Vec<(String, String)>,
    /// Environment variable of the replicas whose value is a secret of the server; may be
    /// repeated.
    ///
    /// Only agents are given the value. docs/security.md says where the server has it.
    #[arg(long = "env-from", value_name = "NAME=SECRET/KEY", value_parser = environ_source::parse, requires = "program")]
    environ_from: Vec<EnvironSource>,
    /// HTTP path of the health check: healthy if it answers 2xx [default: /].
    #[arg(long, value_name = "PATH", requires = "program")]
    health_path: Option<String>,
    /// Time between two health checks of a replica [default: 10s].
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, requires = "program")]
    health_interval: Option<Duration>,
    /// Program and arguments of a replica. It must listen on the port in the
    /// environment variable PORT.
    #[arg(last = true)]
    command: Vec<String>,
}

impl SpecArgs {
    /// The revision, if the flags describe one.
    pub(super) fn into_spec(self) -> Option<RevisionSpec> {
        if self.image.is_none() && self.command.is_empty() {
            return None;
        }
        // Without a flag there is no health check in the spec, and the server adds its default.
        let checked = self.health_path.is_some() || self.health_interval.is_some();
        let health_check = checked.then(|| HealthCheck {
            path: self.health_path.unwrap_or_default(),
            interval: self.health_interval.map(duration::to_wire),
            ..HealthCheck::default()
        });
        Some(RevisionSpec {
            image: self.image.unwrap_or_default(),
            command: self.command,
            environ: self.environ.into_iter().collect(),
            environ_from: self.environ_from,
            health_check,
            ..RevisionSpec::default()
        })
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use viridian_proto::v1::{HealthCheck, RevisionSpec};

    use super::SpecArgs;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        spec: SpecArgs,
    }

    fn spec(line: &str) -> Option<RevisionSpec> {
        Line::try_parse_from(line.split_whitespace())
            .expect(line)
            .spec
            .into_spec()
    }

    #[test]
    fn no_program_is_no_revision() {
        assert_eq!(spec("x"), None);
    }

    #[test]
    fn flags_become_the_spec() {
        assert_eq!(
            spec("x --env A=1 --env B=x=y --health-path /up -- serve --port 1"),
            Some(RevisionSpec {
                command: ["serve", "--port", "1"].map(str::to_owned).to_vec(),
                environ: [("A", "1"), ("B", "x=y")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into(),
                health_check: Some(HealthCheck {
                    path: "/up".to_owned(),
                    ..HealthCheck::default()
                }),
                ..RevisionSpec::default()
            })
        );
    }

    #[test]
    fn an_image_and_a_command_go_together() {
        let spec = spec("x --image i:1 -- run").expect("a revision");
        assert_eq!((spec.image.as_str(), spec.command.len()), ("i:1", 1));
    }
}
