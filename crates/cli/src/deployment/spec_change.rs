//! The flags of a new revision that has what they name, and else what serves.

use std::time::Duration;

use clap::{ArgGroup, Args};
use viridian_proto::v1::{EnvironSource, RevisionSpec};

use super::environ_source;
use crate::{duration, key_value};

/// The flags of `activate` for a new revision.
#[derive(Debug, Default, Args)]
#[command(
    next_help_heading = "New revision",
    group = ArgGroup::new("program").args(["image", "command"]).multiple(true),
    group = ArgGroup::new("new_revision")
        .args(["image", "environ", "environ_from", "removed", "health_path", "health_interval", "command"])
        .multiple(true)
)]
pub(super) struct SpecChangeArgs {
    /// Container image, for schedulers that run containers.
    #[arg(long)]
    image: Option<String>,
    /// Environment variable of the replicas to add or change; may be repeated.
    #[arg(long = "env", value_name = "KEY=VALUE", value_parser = key_value::parse)]
    environ: Vec<(String, String)>,
    /// Environment variable to add or change whose value is a secret of the server; may be
    /// repeated.
    #[arg(long = "env-from", value_name = "NAME=SECRET/KEY", value_parser = environ_source::parse)]
    environ_from: Vec<EnvironSource>,
    /// Environment variable to remove; may be repeated.
    #[arg(long = "remove-env", value_name = "KEY")]
    removed: Vec<String>,
    /// HTTP path of the health check: healthy if it answers 2xx.
    #[arg(long, value_name = "PATH")]
    health_path: Option<String>,
    /// Time between two health checks of a replica.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse)]
    health_interval: Option<Duration>,
    /// Take nothing from the serving revision: what is not named gets its default.
    ///
    /// Creates a new revision also if it is the same as the serving one.
    #[arg(long, requires = "program")]
    pub(super) replace: bool,
    /// Program and arguments of a replica. It must listen on the port in the
    /// environment variable PORT.
    #[arg(last = true)]
    command: Vec<String>,
}

impl SpecChangeArgs {
    /// The spec with the named settings changed.
    pub(super) fn change(self, mut spec: RevisionSpec) -> RevisionSpec {
        if let Some(image) = self.image {
            spec.image = image;
        }
        if !self.command.is_empty() {
            spec.command = self.command;
        }
        // First, so that a variable that is both removed and added gets its new value.
        spec.environ.retain(|key, _| !self.removed.contains(key));
        spec.environ_from
            .retain(|it| !self.removed.contains(&it.name));
        // A variable may move from the one to the other, but not be in both.
        for (name, value) in self.environ {
            spec.environ_from.retain(|it| it.name != name);
            spec.environ.insert(name, value);
        }
        for source in self.environ_from {
            spec.environ.remove(&source.name);
            spec.environ_from.retain(|it| it.name != source.name);
            spec.environ_from.push(source);
        }
        if self.health_path.is_some() || self.health_interval.is_some() {
            let check = spec.health_check.get_or_insert_default();
            if let Some(path) = self.health_path {
                check.path = path;
            }
            if let Some(interval) = self.health_interval {
                check.interval = Some(duration::to_wire(interval));
            }
        }
        spec
    }

    /// Whether the flags say what to run.
    pub(super) fn names_program(&self) -> bool {
        self.image.is_some() || !self.command.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use viridian_proto::v1::HealthCheck;

    use super::*;

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        spec: SpecChangeArgs,
    }

    fn changed(line: &str) -> RevisionSpec {
        let base = RevisionSpec {
            image: "web:1".to_owned(),
            command: vec!["serve".to_owned()],
            environ: [("DB", "prod"), ("DEBUG", "1")]
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .into(),
            health_check: Some(HealthCheck {
                path: "/healthz".to_owned(),
                interval: Some(duration::to_wire(Duration::from_secs(3))),
                ..HealthCheck::default()
            }),
            ..RevisionSpec::default()
        };
        let args = Line::try_parse_from(line.split_whitespace()).expect(line);
        args.spec.change(base)
    }

    #[test]
    fn b5_what_is_not_named_stays() {
        let spec = changed("x --image web:2");
        assert_eq!(spec.image, "web:2");
        assert_eq!(spec.command, ["serve"]);
        assert_eq!(spec.environ.get("DB").map(String::as_str), Some("prod"));
        let check = spec.health_check.expect("a check");
        assert_eq!(check.path, "/healthz");
        assert_eq!(check.interval.map(|it| it.seconds), Some(3));
    }

    #[test]
    fn g15_a_variable_has_one_source() {
        let spec = changed("x --env-from DB=db/url --env-from KEY=api/key");
        let sources = |spec: &RevisionSpec| -> Vec<_> {
            let all = spec.environ_from.iter();
            all.map(|it| format!("{}={}/{}", it.name, it.secret, it.key))
                .collect()
        };
        assert_eq!(sources(&spec), ["DB=db/url", "KEY=api/key"]);
        assert_eq!(spec.environ.keys().collect::<Vec<_>>(), ["DEBUG"]);
        let args = |line: &str| Line::try_parse_from(line.split_whitespace()).expect(line);
        let moved = args("x --env DB=plain --remove-env KEY").spec.change(spec);
        assert_eq!(sources(&moved), [""; 0]);
        assert_eq!(moved.environ.get("DB").map(String::as_str), Some("plain"));
    }

    #[test]
    fn b5_each_setting_changes_alone() {
        let spec = changed("x --env DB=test --remove-env DEBUG --health-interval 5s");
        assert_eq!(spec.image, "web:1");
        assert_eq!(spec.environ.len(), 1);
        assert_eq!(spec.environ.get("DB").map(String::as_str), Some("test"));
        let check = spec.health_check.expect("a check");
        assert_eq!(check.path, "/healthz");
        assert_eq!(check.interval.map(|it| it.seconds), Some(5));
        assert_eq!(changed("x -- other --flag").command, ["other", "--flag"]);
    }
}
