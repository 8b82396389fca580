//! The quotas of projects in the file of credentials.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;
use viridian_strategy::ProjectQuota;

use crate::resource_name::is_resource_name;

/// The quotas of the projects that the file names.
#[derive(Debug, Default)]
pub(super) struct Quotas(BTreeMap<String, RawQuota>);

/// The tables `[quota.PROJECT]`.
pub(super) type RawQuotas = BTreeMap<Spanned<String>, RawQuota>;

/// The quotas of one project: those that are not said are the default ones.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RawQuota {
    deployments: Option<Amount>,
    replicas: Option<Amount>,
    revisions: Option<Amount>,
    bytes: Option<Amount>,
}

/// A number that is not negative; 0 for no quota.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(try_from = "i64")]
struct Amount(i64);

impl TryFrom<i64> for Amount {
    type Error = &'static str;

    fn try_from(number: i64) -> Result<Self, &'static str> {
        match number {
            0.. => Ok(Self(number)),
            _ => Err("a quota must not be negative; 0 is none"),
        }
    }
}

impl Quotas {
    /// Checks the names of the projects. An error is a place in the file, and what is wrong there.
    pub(super) fn checked(raw: RawQuotas) -> Result<Self, (usize, String)> {
        let mut quotas = BTreeMap::new();
        for (project, quota) in raw {
            let place = project.span().start;
            let project = project.into_inner();
            // Under a name that no project can have, a quota would limit nothing.
            if !is_resource_name(&project) {
                return Err((
                    place,
                    format!("quota.{project:?}: no project can have this name"),
                ));
            }
            quotas.insert(project, quota);
        }
        Ok(Self(quotas))
    }

    /// What a project may use.
    pub(super) fn of(&self, project: &str, default: ProjectQuota) -> ProjectQuota {
        let Some(own) = self.0.get(project) else {
            return default;
        };
        // 0 is said as well: it takes a default quota away.
        let amount = |own: Option<Amount>, default| own.map_or(default, |Amount(it)| it);
        ProjectQuota {
            deployments: amount(own.deployments, default.deployments),
            replicas: amount(own.replicas, default.replicas),
            revisions: amount(own.revisions, default.revisions),
            bytes: amount(own.bytes, default.bytes),
        }
    }
}
