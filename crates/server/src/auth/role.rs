use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// What a caller may do. A caller may have several roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Reads deployments.
    Viewer,
    /// Also decides about rollouts: promote, abort, roll back, pause, resume.
    Promoter,
    /// Also changes deployments: create, update, delete, revisions, activate.
    Operator,
    /// Takes assignments, and reports on their routes.
    Agent,
    /// Reads traffic tables.
    Proxy,
}

impl Role {
    /// All roles.
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
