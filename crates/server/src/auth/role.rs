use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a caller may do. Several may be had at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Look at deployments.
    Viewer,
    /// That, and decide about rollouts: promote, abort, roll back, pause, resume.
    Promoter,
    /// That, and say what is deployed: create, update, delete, revisions, activate.
    Operator,
    /// Take assignments, and report what became of them.
    Agent,
    /// Follow traffic tables.
    Proxy,
}

impl Role {
    /// All there are.
    pub const ALL: [Self; 5] = [
        Self::Viewer,
        Self::Promoter,
        Self::Operator,
        Self::Agent,
        Self::Proxy,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Viewer => "viewer",
            Self::Promoter => "promoter",
            Self::Operator => "operator",
            Self::Agent => "agent",
            Self::Proxy => "proxy",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Role {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|role| role.name() == text)
            .ok_or("must be viewer, promoter, operator, agent or proxy")
    }
}
