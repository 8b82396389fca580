//! Several deployments at once: `viridian deployment promote A B` and `rollback A B`.

use viridian_client::{CallError, unary};
use viridian_proto::v1::{
    Deployment, PromoteDeploymentsRequest, PromoteMember, RollbackDeploymentsRequest,
    RollbackMember, SwitchedDeployment,
};

use super::{
    CliSession, DeploymentError,
    change::ChangeArgs,
    question,
    read::{self, DeploymentClient},
    show::{self, OutputStyle},
};
use crate::{enum_names::qualified_name, table::counted};

/// Deployments that are switched in one step, and how.
pub(super) struct DeploymentSet {
    /// At least two: PROJECT/NAME, or UUIDs.
    pub(super) names: Vec<String>,
    pub(super) dry_run: bool,
    pub(super) yes: bool,
    pub(super) change: ChangeArgs,
}

/// What is done with a set, in words.
struct SetWords {
    question: &'static str,
    done: &'static str,
    blocked: &'static str,
}

impl DeploymentSet {
    /// Promotes all of them, each to the revision that is being deployed now.
    pub(super) async fn promote(self, session: &CliSession) -> Result<(), DeploymentError> {
        let mut client = session.connect().await?;
        let seen = self.see(&mut client, &PROMOTE).await?;
        let expects = self.expects();
        let members = self.names.into_iter().enumerate();
        let members = members.map(|(index, deployment)| PromoteMember {
            deployment,
            expected_revision: match seen.get(index) {
                Some(seen) if expects => seen.deploying_revision_id.clone(),
                _ => String::new(),
            },
            expected_generation: None,
        });
        let request = PromoteDeploymentsRequest {
            members: members.collect(),
            validate_only: self.dry_run,
            request_id: self.change.request_id,
            expected_generation: None,
            reason: self.change.reason,
        };
        let reply = unary(client.promote_deployments(request)).await;
        let reply = reply.map_err(refused)?;
        session.show("PromoteDeploymentsResponse", &reply, |style| {
            describe(&reply.members, &PROMOTE, self.dry_run, style)
        })
    }

    /// Rolls all of them back, each from the revision that serves now.
    pub(super) async fn roll_back(self, session: &CliSession) -> Result<(), DeploymentError> {
        let mut client = session.connect().await?;
        let seen = self.see(&mut client, &ROLL_BACK).await?;
        let expects = self.expects();
        let members = self.names.into_iter().enumerate();
        let members = members.map(|(index, deployment)| RollbackMember {
            deployment,
            expected_revision: match seen.get(index) {
                Some(seen) if expects => left_by(seen),
                _ => String::new(),
            },
            ..RollbackMember::default()
        });
        let request = RollbackDeploymentsRequest {
            members: members.collect(),
            validate_only: self.dry_run,
            request_id: self.change.request_id,
            expected_generation: None,
            reason: self.change.reason,
        };
        let reply = unary(client.rollback_deployments(request)).await;
        let reply = reply.map_err(refused)?;
        session.show("RollbackDeploymentsResponse", &reply, |style| {
            describe(&reply.members, &ROLL_BACK, self.dry_run, style)
        })
    }

    /// Whether the call expects what is seen. A repeat with a request id must be the same
    /// request, so that nothing may be added to it.
    fn expects(&self) -> bool {
        !self.dry_run && self.change.request_id.is_empty()
    }

    /// Reads the deployments where they have to be known, and asks for confirmation. The server
    /// refuses what cannot be done, and names the member.
    async fn see(
        &self,
        client: &mut DeploymentClient,
        words: &SetWords,
    ) -> Result<Vec<Deployment>, DeploymentError> {
        let ask = !self.yes && !self.dry_run && question::can_ask();
        let mut seen = Vec::new();
        if !ask && !self.expects() {
            return Ok(seen);
        }
        for name in &self.names {
            let read = read::deployment(client, name).await;
            seen.push(read.map_err(|error| error.about(Some(name.clone())))?);
        }
        if ask {
            question::ask(&question_text(&seen, words))?;
        }
        Ok(seen)
    }
}

/// What the server refuses names its members, so that the message can advise a command.
fn refused(error: CallError) -> DeploymentError {
    match error {
        CallError::Refused(status) => DeploymentError::SetRefused(Box::new(status)),
        error => error.into(),
    }
}

/// The revision that a roll-back leaves: the one on its way, or the one that serves.
fn left_by(seen: &Deployment) -> String {
    match seen.deploying_revision_id.as_str() {
        "" => seen.current_revision_id.clone(),
        deploying => deploying.to_owned(),
    }
}

fn question_text(seen: &[Deployment], words: &SetWords) -> String {
    let names: Vec<_> = seen.iter().map(qualified_name).collect();
    format!("{} {} in one step?", words.question, names.join(", "))
}

/// What was done with each, or would be, or what blocks all.
fn describe(
    members: &[SwitchedDeployment],
    words: &SetWords,
    dry_run: bool,
    style: OutputStyle,
) -> String {
    let is_blocked = members.iter().any(|member| !member.blockers.is_empty());
    let count = counted(members.len() as u64, "deployment");
    let mut lines = vec![match (is_blocked, dry_run) {
        (true, _) => words.blocked.to_owned(),
        (false, true) => format!("Would switch {count} in one step:"),
        (false, false) => format!("{} {count} in one step:", words.done),
    }];
    for member in members {
        let name = member.deployment.as_ref().map(qualified_name);
        let name = name.unwrap_or_default();
        if !member.blockers.is_empty() {
            lines.push(format!(
                "  {name}:\n{}",
                show::blockers(&member.blockers, style)
            ));
        } else if !is_blocked {
            lines.push(format!("  {name}: {}", moved_traffic(member)));
        }
    }
    lines.join("\n")
}

fn moved_traffic(member: &SwitchedDeployment) -> String {
    let lost = counted(member.drained_route_ids.len() as u64, "route");
    match member.promoted_route_ids.len() as u64 {
        // The others have traffic already: all of it, or a share as a canary.
        0 => format!("no traffic to {lost}"),
        gained => format!("traffic to {}, and from {lost}", counted(gained, "route")),
    }
}

const PROMOTE: SetWords = SetWords {
    question: "Promote",
    done: "Promoted",
    blocked: "Cannot be promoted now:",
};

const ROLL_BACK: SetWords = SetWords {
    question: "Roll back",
    done: "Rolled back",
    blocked: "Cannot be rolled back now:",
};

#[cfg(test)]
mod tests {
    use super::{super::show::fixture, *};

    fn member(deployment: Deployment) -> SwitchedDeployment {
        SwitchedDeployment {
            promoted_route_ids: vec!["a".to_owned(), "b".to_owned()],
            drained_route_ids: vec!["c".to_owned()],
            blockers: deployment.blockers.clone(),
            deployment: Some(deployment),
        }
    }

    #[test]
    fn a_set_is_told_member_by_member() {
        let ready = Deployment {
            blockers: Vec::new(),
            ..fixture::at_the_gate()
        };
        let canary = SwitchedDeployment {
            promoted_route_ids: Vec::new(),
            ..member(ready.clone())
        };
        assert_eq!(moved_traffic(&canary), "no traffic to 1 route");
        let both = [member(ready.clone()), member(ready.clone())];
        assert_eq!(
            describe(&both, &PROMOTE, false, fixture::plain()),
            "Promoted 2 deployments in one step:\n  \
             shop/cart: traffic to 2 routes, and from 1 route\n  \
             shop/cart: traffic to 2 routes, and from 1 route"
        );
        let text = describe(&both, &ROLL_BACK, true, fixture::plain());
        assert!(
            text.starts_with("Would switch 2 deployments in one step:"),
            "{text}"
        );
        assert_eq!(
            question_text(&[ready.clone(), ready], &ROLL_BACK),
            "Roll back shop/cart, shop/cart in one step?"
        );
    }

    #[test]
    fn a_set_that_is_blocked_names_whom_by() {
        let ready = Deployment {
            blockers: Vec::new(),
            ..fixture::at_the_gate()
        };
        let members = [member(ready), member(fixture::provisioning())];
        let text = describe(&members, &PROMOTE, true, fixture::plain());
        assert!(
            text.starts_with("Cannot be promoted now:\n  shop/cart:\n"),
            "{text}"
        );
        assert_eq!(text.matches("shop/cart").count(), 1, "{text}");
    }
}
