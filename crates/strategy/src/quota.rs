//! Quotas of a project: what it may use, and what would be too much.

/// What a project uses, or how that changes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectUsage {
    /// Deployments that are live.
    pub deployments: i64,
    /// The sum of their target counts.
    pub replicas: i64,
    /// Revisions that are stored, those of deleted deployments included.
    pub revisions: i64,
    /// Bytes of specs, labels and metadata that are stored.
    pub bytes: i64,
}

/// What a project may use. 0: as much as it likes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProjectQuota {
    /// Deployments that are live.
    pub deployments: i64,
    /// The sum of their target counts.
    pub replicas: i64,
    /// Revisions that are stored.
    pub revisions: i64,
    /// Bytes of specs, labels and metadata that are stored.
    pub bytes: i64,
}

/// One of the things that a quota counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaResource {
    /// [`ProjectUsage::deployments`].
    Deployments,
    /// [`ProjectUsage::replicas`].
    Replicas,
    /// [`ProjectUsage::revisions`].
    Revisions,
    /// [`ProjectUsage::bytes`].
    Bytes,
}

/// A quota that a change would exceed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QuotaViolation {
    /// Of what there is too much.
    pub resource: QuotaResource,
    /// The quota.
    pub limit: i64,
    /// What is used without the change.
    pub used: i64,
    /// By how much the change would raise that.
    pub requested: i64,
}

impl QuotaResource {
    /// All of them.
    pub const ALL: [Self; 4] = [
        Self::Deployments,
        Self::Replicas,
        Self::Revisions,
        Self::Bytes,
    ];

    /// The name of it in metrics, flags and errors.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Deployments => "deployments",
            Self::Replicas => "replicas",
            Self::Revisions => "revisions",
            Self::Bytes => "bytes",
        }
    }
}

impl ProjectUsage {
    /// How much of one thing it is.
    pub fn of(&self, resource: QuotaResource) -> i64 {
        match resource {
            QuotaResource::Deployments => self.deployments,
            QuotaResource::Replicas => self.replicas,
            QuotaResource::Revisions => self.revisions,
            QuotaResource::Bytes => self.bytes,
        }
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self {
            deployments: self.deployments + other.deployments,
            replicas: self.replicas + other.replicas,
            revisions: self.revisions + other.revisions,
            bytes: self.bytes + other.bytes,
        }
    }

    /// The same with the other sign.
    #[must_use]
    pub fn negated(self) -> Self {
        Self {
            deployments: -self.deployments,
            replicas: -self.replicas,
            revisions: -self.revisions,
            bytes: -self.bytes,
        }
    }
}

impl ProjectQuota {
    /// How much there may be of one thing. None: as much as there is.
    pub fn limit(&self, resource: QuotaResource) -> Option<i64> {
        let limit = match resource {
            QuotaResource::Deployments => self.deployments,
            QuotaResource::Replicas => self.replicas,
            QuotaResource::Revisions => self.revisions,
            QuotaResource::Bytes => self.bytes,
        };
        (limit > 0).then_some(limit)
    }

    /// Whether it limits anything.
    pub fn is_unlimited(&self) -> bool {
        *self == Self::default()
    }

    /// How much of one thing may be used already, so that a change fits. None: any amount, as
    /// the change raises none of it or there is no quota. So what is above a quota that was
    /// lowered can still shrink, and change in other ways.
    pub fn room_for(&self, change: &ProjectUsage, resource: QuotaResource) -> Option<i64> {
        let growth = change.of(resource);
        let limit = self.limit(resource).filter(|_| growth > 0)?;
        Some(limit.saturating_sub(growth))
    }

    /// Whether a change may be too much.
    pub fn limits(&self, change: &ProjectUsage) -> bool {
        let limited = |it| self.room_for(change, it).is_some();
        QuotaResource::ALL.into_iter().any(limited)
    }

    /// Returns the quotas that a change would exceed.
    pub fn violations(&self, used: &ProjectUsage, change: &ProjectUsage) -> Vec<QuotaViolation> {
        let violation = |resource: QuotaResource| {
            let room = self.room_for(change, resource)?;
            (used.of(resource) > room).then(|| QuotaViolation {
                resource,
                limit: self.limit(resource).unwrap_or_default(),
                used: used.of(resource),
                requested: change.of(resource),
            })
        };
        QuotaResource::ALL
            .into_iter()
            .filter_map(violation)
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUOTA: ProjectQuota = ProjectQuota {
        deployments: 2,
        replicas: 10,
        revisions: 0,
        bytes: 100,
    };

    fn usage(deployments: i64, replicas: i64, revisions: i64, bytes: i64) -> ProjectUsage {
        ProjectUsage {
            deployments,
            replicas,
            revisions,
            bytes,
        }
    }

    #[test]
    fn g11_only_what_grows_can_be_too_much() {
        use QuotaResource::{Bytes, Deployments, Replicas};
        let exceeded = |used: ProjectUsage, change: ProjectUsage| {
            let found = QUOTA.violations(&used, &change);
            Vec::from_iter(found.iter().map(|it| it.resource))
        };
        let nothing = usage(0, 0, 0, 0);
        for (used, change, expected) in [
            (nothing, usage(1, 10, 9_999, 100), vec![]),
            (nothing, usage(1, 11, 0, 101), vec![Replicas, Bytes]),
            (usage(1, 10, 0, 0), usage(1, 0, 0, 0), vec![]),
            (usage(2, 10, 0, 0), usage(1, 0, 0, 0), vec![Deployments]),
            // The quota was lowered: less is always allowed, and so is what stays the same.
            (usage(5, 50, 0, 500), usage(0, -1, 0, -1), vec![]),
            (usage(5, 50, 0, 500), nothing, vec![]),
            (usage(5, 50, 0, 500), usage(0, -9, 1, 1), vec![Bytes]),
            (nothing, usage(0, i64::MAX, 0, 0), vec![Replicas]),
        ] {
            assert_eq!(exceeded(used, change), expected, "{used:?} {change:?}");
        }
    }

    #[test]
    fn g11_a_violation_says_how_much_there_is() {
        let found = QUOTA.violations(&usage(2, 0, 0, 0), &usage(1, 0, 0, 0));
        let expected = QuotaViolation {
            resource: QuotaResource::Deployments,
            limit: 2,
            used: 2,
            requested: 1,
        };
        assert_eq!(found, [expected]);
        assert!(ProjectQuota::default().is_unlimited() && !QUOTA.is_unlimited());
        assert!(!QUOTA.limits(&usage(-1, 0, 1, 0)));
    }
}
