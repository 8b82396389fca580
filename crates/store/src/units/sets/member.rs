//! The members of sets: what each is asked for, and how it decides.

use viridian_strategy::{Blocker, DeploymentId, RevisionId, verbs::PromoteRejection};

use crate::{
    error::{PromoteRefusal, RollBackRefusal, StoreError, UnitError},
    record::{Operation, Revision},
    units::{
        RollBackOptions,
        change::PlannedChange,
        idempotent::check_generation,
        lock::Locked,
        promote,
        roll_back::{DecidedRollBack, RollBackTarget},
    },
};

/// A deployment that is promoted with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PromoteMember {
    /// The deployment.
    pub deployment: DeploymentId,
    /// It is refused unless this revision is being deployed.
    pub expected_revision: Option<RevisionId>,
    /// It is refused if the deployment has another generation.
    pub expected_generation: Option<i64>,
}

/// A deployment that is rolled back with others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RollBackMember {
    /// The deployment.
    pub deployment: DeploymentId,
    /// Where to go back to; by default what served before, and during a rollout what serves.
    pub revision: Option<RevisionId>,
    /// It is refused unless this revision serves, or is being deployed.
    pub expected_revision: Option<RevisionId>,
    /// It is refused if the deployment has another generation.
    pub expected_generation: Option<i64>,
}

impl PromoteMember {
    /// Returns one of which nothing is expected.
    pub fn of(deployment: DeploymentId) -> Self {
        Self {
            deployment,
            expected_revision: None,
            expected_generation: None,
        }
    }
}

/// A deployment of a set, and how it decides.
pub(crate) trait SetMember: Sync {
    /// What its own rules refuse.
    type Refusal: Send + 'static;

    /// Returns the deployment.
    fn deployment(&self) -> DeploymentId;

    /// Returns the generation that it must have.
    fn expected_generation(&self) -> Option<i64>;

    /// Returns the revision that must be loaded for the decision.
    fn target(&self, held: &Locked) -> Option<RevisionId>;

    /// Decides as the call on this deployment alone does. `target` is the revision that was asked
    /// for, if the deployment has it.
    fn decide(
        &self,
        held: &Locked,
        target: Option<&Revision>,
    ) -> Result<PlannedChange, Self::Refusal>;

    /// Returns what blocks it, if that is why it is refused.
    fn blockers(refusal: Self::Refusal) -> Result<Vec<Blocker>, Self::Refusal>;

    /// Returns the deployment, or why it may not decide.
    fn held(
        &self,
        held: Result<Option<Locked>, StoreError>,
    ) -> Result<Locked, UnitError<Self::Refusal>> {
        // The same three questions, in the same order, as in a call on one deployment.
        let held = held?.ok_or(UnitError::NoDeployment(self.deployment()))?;
        check_generation(self.expected_generation(), &held.deployment)?;
        Ok(held)
    }
}

impl SetMember for PromoteMember {
    type Refusal = PromoteRefusal;

    fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    fn expected_generation(&self) -> Option<i64> {
        self.expected_generation
    }

    fn target(&self, _: &Locked) -> Option<RevisionId> {
        None
    }

    fn decide(&self, held: &Locked, _: Option<&Revision>) -> Result<PlannedChange, PromoteRefusal> {
        let transition = promote::decide(held, self.expected_revision)?;
        Ok(PlannedChange::of_call(transition, Operation::Promote))
    }

    fn blockers(refusal: PromoteRefusal) -> Result<Vec<Blocker>, PromoteRefusal> {
        match refusal {
            PromoteRefusal::Rules(PromoteRejection::Blocked(blockers)) => Ok(blockers),
            refusal => Err(refusal),
        }
    }
}

impl SetMember for RollBackMember {
    type Refusal = RollBackRefusal;

    fn deployment(&self) -> DeploymentId {
        self.deployment
    }

    fn expected_generation(&self) -> Option<i64> {
        self.expected_generation
    }

    fn target(&self, held: &Locked) -> Option<RevisionId> {
        // What cannot be is refused by the decision, which comes right after.
        let target = RollBackTarget::of(held, self.options()).ok()?;
        Some(target.revision)
    }

    fn decide(
        &self,
        held: &Locked,
        target: Option<&Revision>,
    ) -> Result<PlannedChange, RollBackRefusal> {
        let leads_to = RollBackTarget::of(held, self.options())?;
        let decided = DecidedRollBack::to(leads_to, target, held, self.options().gated)?;
        // One that has to start routes first would be back later than the others.
        if !decided.is_instant() {
            return Err(RollBackRefusal::NotInstant);
        }
        Ok(decided.plan())
    }

    fn blockers(refusal: RollBackRefusal) -> Result<Vec<Blocker>, RollBackRefusal> {
        Err(refusal)
    }
}

impl RollBackMember {
    /// Returns one of which nothing is expected, and which leads to what served before.
    pub fn of(deployment: DeploymentId) -> Self {
        Self {
            deployment,
            revision: None,
            expected_revision: None,
            expected_generation: None,
        }
    }

    fn options(&self) -> RollBackOptions {
        RollBackOptions {
            revision: self.revision,
            expected_revision: self.expected_revision,
            gated: false,
        }
    }
}
