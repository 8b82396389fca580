use viridian_proto::v1::{
    BlueGreenSpec, DeploymentPolicy, IntOrPercent, RollingUpdateSpec, deployment_policy::Strategy,
    int_or_percent,
};

use crate::harness::{FAILS, FAILS_ONCE, blue_green, seconds};

/// How a deployment gets a new revision, and what becomes of its routes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DeploymentCase {
    /// It is promoted when a delay is over.
    Automatic,
    /// Someone promotes it.
    Manual,
    Rolling,
    /// One route fails to start, and is replaced.
    Replaced,
    /// All routes fail to start.
    Broken,
}

/// How many routes a revision ought to have had, and how many of them failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KindCounts {
    pub(super) routes: i64,
    pub(super) failed: i64,
}

impl DeploymentCase {
    pub(super) fn of(number: usize) -> Self {
        ALL[number % ALL.len()].0
    }

    /// The kind of a deployment with that name.
    pub(super) fn of_name(name: &str) -> Self {
        let found = ALL.iter().find(|(_, word)| name.starts_with(word));
        found.expect("a name as it is made here").0
    }

    pub(super) fn word(self) -> &'static str {
        let found = ALL.iter().find(|(kind, _)| *kind == self);
        found.expect("each has a word").1
    }

    pub(super) fn policy(self) -> DeploymentPolicy {
        let automatic = |delay, max_replacements| {
            blue_green(BlueGreenSpec {
                auto_promote: true,
                promote_delay: seconds(delay),
                max_replacements: Some(max_replacements),
                ..BlueGreenSpec::default()
            })
        };
        let policy = match self {
            Self::Automatic => automatic(0.5, 0),
            Self::Replaced => automatic(0.0, 1),
            Self::Manual | Self::Broken => blue_green(BlueGreenSpec::default()),
            Self::Rolling => DeploymentPolicy {
                strategy: Some(Strategy::RollingUpdate(RollingUpdateSpec {
                    max_surge: Some(IntOrPercent {
                        value: Some(int_or_percent::Value::Count(1)),
                    }),
                    max_unavailable: Some(IntOrPercent {
                        value: Some(int_or_percent::Value::Count(0)),
                    }),
                })),
                ..DeploymentPolicy::default()
            },
        };
        DeploymentPolicy {
            drain_grace: seconds(0.2),
            ..policy
        }
    }

    /// What the next revisions run.
    pub(super) fn image(self) -> &'static str {
        match self {
            Self::Automatic | Self::Manual | Self::Rolling => SOUND,
            Self::Replaced => FAILS_ONCE,
            Self::Broken => FAILS,
        }
    }

    pub(super) fn is_promoted(self) -> bool {
        self != Self::Broken
    }

    pub(super) fn counts(self, revision: i64) -> KindCounts {
        let all = i64::from(REPLICAS);
        let (routes, failed) = match (self, revision) {
            (Self::Replaced, 2..) => (all + 1, 1),
            (Self::Broken, 2..) => (all, all),
            _ => (all, 0),
        };
        KindCounts { routes, failed }
    }
}

/// Each with how its deployments' names begin.
const ALL: [(DeploymentCase, &str); 5] = [
    (DeploymentCase::Automatic, "automatic"),
    (DeploymentCase::Manual, "manual"),
    (DeploymentCase::Rolling, "rolling"),
    (DeploymentCase::Replaced, "replaced"),
    (DeploymentCase::Broken, "broken"),
];

pub(super) const REPLICAS: i32 = 2;

/// The image of routes that come up.
pub(super) const SOUND: &str = "registry.test/sound:1";
