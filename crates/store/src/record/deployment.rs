//! A deployment as it stands at one sequence.

use std::collections::BTreeMap;

use viridian_strategy::{
    Availability, Blocker, Blockers, DeploymentId, DeploymentState, ObservedDeployment,
    PastRollouts, Policy, ReplicaCounts, RevisionId, ServedRevisions, Stopwatch, Timestamp,
    UnreadyRoutes, verbs::ActivateRejection,
};

use super::{LastRollout, Protocol};

/// A deployment as it stands at one sequence.
#[derive(Clone, Debug, PartialEq)]
pub struct Deployment {
    /// Its id.
    pub id: DeploymentId,
    /// The project that it belongs to.
    pub project: String,
    /// Its name, unique among the project's live ones.
    pub name: String,
    /// Labels to select by.
    pub labels: BTreeMap<String, String>,
    /// Where it belongs and who asked for it.
    pub metadata: Metadata,
    /// How many routes ought to serve.
    pub target_replicas: u32,
    /// How a new revision replaces the current one.
    pub policy: Policy,
    /// How many revisions are kept.
    pub revision_history_limit: u32,
    /// What its replicas speak.
    pub protocol: Protocol,
    /// Whether nothing may move.
    pub paused: bool,
    /// Where it is.
    pub state: DeploymentState,
    /// The number of its last activation.
    pub last_activation: i64,
    /// The number of the activation that made the current revision the current one.
    pub current_activation: i64,
    /// How many revisions were activated. A restart is an activation of no revision.
    pub rollout_number: i64,
    /// The numbers of the revisions that the state names.
    pub numbers: RevisionNumbers,
    /// The revisions that served before, as far as they are there: where roll-backs lead.
    pub served: ServedRevisions,
    /// How the last rollout came out.
    pub last_rollout: Option<LastRollout>,
    /// The version of what was asked of it.
    pub generation: i64,
    /// The version of all that can be seen of it.
    pub sequence: i64,
    /// The version of its traffic table.
    pub epoch: i64,
    /// What can be seen of its routes, and why it does not go on.
    pub status: Status,
    /// How well it serves; none where nothing is asked of it.
    pub availability: Option<Availability>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// When the present lifecycle and sub-step began.
    pub phase_started_at: Timestamp,
    /// When the progress deadline or the gate's timeout passes.
    pub deadline_at: Option<Timestamp>,
    /// When a revision was last promoted.
    pub promoted_at: Option<Timestamp>,
    /// Runs while the first revision comes up, until it is recorded as failed.
    pub coming_up: Option<Stopwatch>,
    /// Whether the current activation is a restart.
    pub restarted: bool,
    /// The number of its newest revision.
    pub last_revision: i64,
    /// The number of its newest history row.
    pub last_history: i64,
}

/// Where a deployment belongs and who asked for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Metadata {
    /// The tenant.
    pub domain: String,
    /// The machines that run its routes.
    pub resource_group: String,
    /// Who created it.
    pub created_user: String,
    /// Who owns the sessions of its routes.
    pub session_owner: String,
}

/// What can be seen of a deployment's routes, and why it does not go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Status {
    /// Routes of the current revision.
    pub blue: ReplicaCounts,
    /// Routes of the revision that is being deployed.
    pub green: ReplicaCounts,
    /// Why it does not go on.
    pub blockers: Blockers,
    /// The share of the traffic that the revision has which is being deployed, in per mille. 0
    /// where no split is asked for.
    pub effective_permille: u16,
    /// Until when all routes are kept that an earlier promotion retained.
    pub retained_until: Option<Timestamp>,
    /// How many routes took traffic in this change though their health was older than
    /// the health TTL. Always 0, which an invariant checks.
    pub stale_promoted: u32,
    /// What the health checker said of a route for which a blocker waits. Empty when
    /// it said nothing, or no blocker is about health.
    pub health_detail: String,
    /// What was reported of the last failure that a blocker counts. Empty when nothing
    /// was, or no blocker is about failures.
    pub failure_detail: String,
}

impl Deployment {
    /// The current revision.
    pub(crate) fn named_current(&self) -> Option<NamedRevision> {
        let number = self.numbers.current;
        self.state.current().map(|id| NamedRevision { id, number })
    }

    /// The revision that is being deployed.
    pub(crate) fn named_deploying(&self) -> Option<NamedRevision> {
        let number = self.numbers.deploying;
        self.state
            .deploying()
            .map(|id| NamedRevision { id, number })
    }

    /// Names the revision for which an activation is refused, if it is refused for one.
    ///
    /// # Errors
    ///
    /// The rejection, if it is another one.
    pub(crate) fn named_in_progress(
        &self,
        rejection: ActivateRejection,
    ) -> Result<NamedRevision, ActivateRejection> {
        match (rejection, self.named_deploying()) {
            (ActivateRejection::InProgress { .. }, Some(named)) => Ok(named),
            (rejection, _) => Err(rejection),
        }
    }
}

/// The numbers of the revisions that a deployment names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RevisionNumbers {
    /// Of the revision that serves, or is to serve.
    pub current: Option<i64>,
    /// Of the revision that is being deployed.
    pub deploying: Option<i64>,
}

/// A revision as a refusal names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedRevision {
    /// Its id.
    pub id: RevisionId,
    /// Its number; None only if the record of an earlier program has none.
    pub number: Option<i64>,
}

/// A revision by its id and its number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NumberedRevision {
    pub(crate) id: RevisionId,
    pub(crate) number: i64,
}

impl Status {
    /// The sentence of one of the blockers, with what the health checker said of it, or
    /// the scheduler of a failure, if that explains it.
    pub fn sentence(&self, blocker: &Blocker) -> String {
        if self.counts_failures() == Some(blocker) && !self.failure_detail.is_empty() {
            return format!("{blocker}; the last one: {}", self.failure_detail);
        }
        sentence(blocker, &self.health_detail)
    }

    /// The blocker that `failure_detail` is about: blue and green may fail at the same time,
    /// and for other reasons.
    pub(crate) fn counts_failures(&self) -> Option<&Blocker> {
        let counts =
            |it: &&Blocker| matches!(it, Blocker::BackOff { .. } | Blocker::GreenFailed { .. });
        self.blockers.iter().find(counts)
    }
}

/// The sentence of a blocker, with what the health checker said if that explains it.
pub(crate) fn sentence(blocker: &Blocker, health_detail: &str) -> String {
    let is_of_health = match blocker {
        Blocker::GreenUnhealthy { .. } => true,
        Blocker::RoutesNotReady { unready, .. } => *unready != UnreadyRoutes::default(),
        _ => false,
    };
    match is_of_health && !health_detail.is_empty() {
        true => format!("{blocker} ({health_detail})"),
        false => blocker.to_string(),
    }
}

impl Deployment {
    /// The number of a revision that the state names, or that a call names.
    pub(crate) fn number_of(
        &self,
        revision: RevisionId,
        named: Option<NumberedRevision>,
    ) -> Option<i64> {
        let of = Some(revision);
        let named = named.filter(|named| named.id == revision);
        if let Some(named) = named {
            Some(named.number)
        } else if of == self.state.current() {
            self.numbers.current
        } else if of == self.state.deploying() {
            self.numbers.deploying
        } else {
            None
        }
    }

    /// The revision of its traffic table: none when nothing is to be served any
    /// more.
    pub(crate) fn served_revision(&self) -> Option<RevisionId> {
        match self.state {
            DeploymentState::Destroying { .. } | DeploymentState::Destroyed { .. } => None,
            DeploymentState::Pending { .. }
            | DeploymentState::Ready { .. }
            | DeploymentState::Deploying(_) => self.state.current(),
        }
    }

    /// The share that a canary asks for, above 0.
    pub(crate) fn asked_permille(&self) -> Option<u16> {
        let rollout = self.state.rollout()?;
        rollout.canary.weight.filter(|&asked| asked > 0)
    }

    /// The part that a decision reads or changes.
    pub fn observed(&self) -> ObservedDeployment {
        ObservedDeployment {
            state: self.state,
            target_replicas: self.target_replicas,
            paused: self.paused,
            last_activation: self.last_activation,
            current_activation: self.current_activation,
            generation: self.generation,
            promoted_at: self.promoted_at,
            coming_up: self.coming_up,
            restarted: self.restarted,
        }
    }

    /// What came before, as a roll-back reads it.
    pub fn past(&self) -> PastRollouts {
        PastRollouts {
            served: self.served.clone(),
            last: self.last_rollout.as_ref().map(LastRollout::end),
        }
    }

    /// The same with the part that was decided.
    pub(crate) fn decided(self, decided: ObservedDeployment) -> Self {
        let ObservedDeployment {
            state,
            target_replicas,
            paused,
            last_activation,
            current_activation,
            generation,
            promoted_at,
            coming_up,
            restarted,
        } = decided;
        let activated = last_activation > self.last_activation && !restarted;
        Self {
            state,
            target_replicas,
            paused,
            last_activation,
            current_activation,
            rollout_number: self.rollout_number + i64::from(activated),
            generation,
            promoted_at,
            coming_up,
            restarted,
            ..self
        }
    }
}
