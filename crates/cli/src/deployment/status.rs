//! `viridian deployment status`: one line, and an exit code for scripts.

use clap::Args;
use viridian_client::{NeededAction, needed_action};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, RolloutOutcome};

use super::{CliSession, DeploymentError, read, session::write, show, wait::action_command};
use crate::{enum_names::qualified_name, names, output, table::clean};

#[derive(Debug, Args)]
pub(super) struct StatusArgs {
    /// The deployment: PROJECT/NAME, or its UUID.
    #[arg(add = names::deployments())]
    pub(super) deployment: String,
}

/// What a deployment is like, for a script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StatusVerdict {
    /// It serves as asked: exit code 0.
    Well,
    /// It does not, or not yet: exit code 1.
    NotWell,
    /// It goes no further by itself: exit code 3.
    ActionNeeded(NeededAction),
}

pub(super) async fn run(args: StatusArgs, session: &CliSession) -> Result<(), DeploymentError> {
    let mut client = session.connect().await?;
    let deployment = read::deployment(&mut client, &args.deployment).await?;
    let verdict = verdict(&deployment);
    let text = output::message(session.format, "Deployment", &deployment)?;
    write(&text.unwrap_or_else(|| line(&deployment, verdict)))?;
    match verdict {
        StatusVerdict::Well => Ok(()),
        StatusVerdict::NotWell => Err(DeploymentError::Shown {
            action_needed: false,
        }),
        StatusVerdict::ActionNeeded(_) => Err(DeploymentError::Shown {
            action_needed: true,
        }),
    }
}

fn verdict(deployment: &Deployment) -> StatusVerdict {
    if let Some(action) = needed_action(deployment) {
        return StatusVerdict::ActionNeeded(action);
    }
    let blue = deployment.blue.unwrap_or_default();
    // Routes above the target are on their way out.
    let is_whole = blue.ready >= deployment.target_replicas;
    let is_settled = deployment.lifecycle() == DeploymentLifecycle::Ready;
    match is_settled && is_whole && gone_back(deployment).is_none() {
        true => StatusVerdict::Well,
        false => StatusVerdict::NotWell,
    }
}

/// Why the last rollout did not come to its end by itself.
fn gone_back(deployment: &Deployment) -> Option<String> {
    let last = deployment.last_rollout.as_ref()?;
    let what = match last.outcome() {
        RolloutOutcome::RolledBack => "was rolled back",
        // Of the present one; a failure before it says nothing about it.
        RolloutOutcome::Failed if last.revision_id == deployment.current_revision_id => {
            "never came up"
        }
        _ => return None,
    };
    let mut text = format!("revision {} {what}", last.revision_number);
    for part in [&last.reason, &last.failure] {
        if !part.is_empty() {
            text += &format!("; {}", clean(part));
        }
    }
    Some(text)
}

/// The deployment on one line: what serves, and what is in the way.
fn line(deployment: &Deployment, verdict: StatusVerdict) -> String {
    let name = qualified_name(deployment);
    let mut text = format!("{name} {}", show::change_with_revisions(deployment));
    if deployment.lifecycle() != DeploymentLifecycle::Deploying
        && let Some(back) = gone_back(deployment)
    {
        text += &format!("; {back}");
    }
    if let StatusVerdict::ActionNeeded(action) = verdict {
        text += &format!("; run: {}", action_command(action, &name));
    }
    text
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, DeploymentSubStep, LastRollout, ReplicaCounts};

    use super::*;
    use crate::deployment::show::fixture;

    fn ready() -> Deployment {
        let mut deployment = fixture::at_the_gate();
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        deployment.set_sub_step(DeploymentSubStep::Unspecified);
        deployment.deploying_revision_id.clear();
        deployment.deploying_revision_number = 0;
        deployment.blockers.clear();
        deployment
    }

    #[test]
    fn c1_status_is_well_only_if_all_serve() {
        assert_eq!(verdict(&ready()), StatusVerdict::Well);
        let mut down = ready();
        down.blue = Some(ReplicaCounts::default());
        assert_eq!(verdict(&down), StatusVerdict::NotWell);
        down.target_replicas = 0;
        assert_eq!(verdict(&down), StatusVerdict::Well, "as asked: none");
        assert_eq!(verdict(&fixture::provisioning()), StatusVerdict::NotWell);
        let gate = StatusVerdict::ActionNeeded(NeededAction::Promote);
        assert_eq!(verdict(&fixture::at_the_gate()), gate);
    }

    #[test]
    fn c2_status_has_every_blocker() {
        let mut failing = ready();
        failing.blockers = ["1 of 3 routes is ready", "routes failed 3 times in a row"]
            .map(|message| Blocker {
                message: message.to_owned(),
                ..Blocker::default()
            })
            .into();
        let line = line(&failing, StatusVerdict::NotWell);
        let end = ": 1 of 3 routes is ready; routes failed 3 times in a row";
        assert!(line.ends_with(end), "{line}");
    }

    #[test]
    fn c2_status_says_that_the_last_rollout_went_back() {
        let mut deployment = ready();
        deployment.last_rollout = Some(LastRollout {
            revision_id: "rev-2".to_owned(),
            revision_number: 2,
            outcome: RolloutOutcome::RolledBack.into(),
            reason: "no green route is left: 2 failed".to_owned(),
            failure: "exit status: 3".to_owned(),
            end_time: fixture::at(200),
        });
        assert_eq!(verdict(&deployment), StatusVerdict::NotWell);
        let line = line(&deployment, StatusVerdict::NotWell);
        assert_eq!(
            line,
            "shop/cart READY, revision 1 3/3; revision 2 was rolled back; no green route is \
             left: 2 failed; exit status: 3"
        );
        // Somebody wanted it so.
        if let Some(last) = &mut deployment.last_rollout {
            last.set_outcome(RolloutOutcome::Aborted);
        }
        assert_eq!(verdict(&deployment), StatusVerdict::Well);
    }

    #[test]
    fn a_status_is_one_line() {
        for deployment in [
            fixture::at_the_gate(),
            fixture::provisioning(),
            fixture::canary(),
            ready(),
        ] {
            let line = line(&deployment, verdict(&deployment));
            assert_eq!(line.lines().count(), 1, "{line}");
        }
        let gate = fixture::at_the_gate();
        assert_eq!(
            line(&gate, verdict(&gate)),
            "shop/cart DEPLOYING / AWAITING_PROMOTION, revision 1 3/3, revision 2 3/3: green is \
             ready (3 routes); waiting for someone to promote; run: viridian deployment promote \
             shop/cart"
        );
        let manual = fixture::manual_step();
        assert_eq!(
            verdict(&manual),
            StatusVerdict::ActionNeeded(NeededAction::Advance)
        );
        assert_eq!(
            line(&manual, verdict(&manual)),
            "shop/cart DEPLOYING / SHIFTING, revision 1 3/3, revision 2 1/3 (12.5 of 25 %): step 2 \
             of 3: 25 % to green; waiting for someone to advance it; run: viridian deployment \
             advance shop/cart"
        );
    }
}
