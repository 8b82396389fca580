use std::time::Duration;

use tokio::time::Instant;
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

use crate::{MissReason, WaitGoal, WaitProgress};

/// Follows one deployment to a goal: what it has seen before decides with what it sees.
///
/// A rollout has a deadline on the server. What has none, such as a deployment that
/// serves with too few routes or a deletion whose agent is gone, has this one: the
/// policy's `progress_deadline` without one more route.
#[derive(Debug)]
pub struct WaitTracker {
    goal: WaitGoal,
    /// The last revision that was seen being deployed.
    rollout: Option<String>,
    progress: Option<LastProgress>,
}

/// When the deployment came closer to the goal for the last time.
#[derive(Debug)]
struct LastProgress {
    state: (i32, i32, i32),
    routes: i32,
    at: Instant,
    limit: Option<Duration>,
}

impl WaitTracker {
    /// A tracker that has seen nothing yet.
    pub fn new(goal: WaitGoal) -> Self {
        Self {
            goal,
            rollout: None,
            progress: None,
        }
    }

    /// Judges the next state of the deployment.
    pub fn observe(&mut self, deployment: &Deployment) -> WaitProgress {
        if deployment.lifecycle() == DeploymentLifecycle::Deploying {
            self.rollout = Some(deployment.deploying_revision_id.clone());
        }
        self.note_progress(deployment);
        self.goal.progress(deployment, self.rollout.as_deref())
    }

    /// When the wait ends for lack of progress, and with which reason. None if it ends by
    /// itself, or someone has to act.
    pub fn stalls_at(&self) -> Option<(Instant, MissReason)> {
        let progress = self.progress.as_ref()?;
        let limit = progress.limit?;
        // A limit that the clock cannot express is none.
        let at = progress.at.checked_add(limit)?;
        Some((at, MissReason::NoProgress(limit)))
    }

    fn note_progress(&mut self, deployment: &Deployment) {
        let state = (
            deployment.lifecycle,
            deployment.sub_step,
            deployment.target_replicas,
        );
        let routes = closeness(deployment);
        let limit = limit(deployment, &self.goal);
        match &mut self.progress {
            Some(last) if last.state == state && last.routes >= routes => last.limit = limit,
            last => {
                *last = Some(LastProgress {
                    state,
                    routes,
                    at: Instant::now(),
                    limit,
                });
            }
        }
    }
}

/// Grows while the deployment comes closer: by routes that are ready, or, at its end, by
/// routes that are gone.
fn closeness(deployment: &Deployment) -> i32 {
    let (blue, green) = (
        deployment.blue.unwrap_or_default(),
        deployment.green.unwrap_or_default(),
    );
    match deployment.lifecycle() {
        DeploymentLifecycle::Destroying => {
            let there = [blue, green].map(|it| it.provisioning + it.ready + it.unhealthy);
            -there.iter().sum::<i32>()
        }
        // Of those above the target, the surplus is on its way out.
        _ => blue.ready.min(deployment.target_replicas),
    }
}

/// How long a wait may go without progress. None where a deadline of the server ends it,
/// or someone has to act.
fn limit(deployment: &Deployment, goal: &WaitGoal) -> Option<Duration> {
    use DeploymentLifecycle::{Destroying, Pending, Ready};
    let policy = deployment.policy.as_ref()?;
    let deadline = Duration::try_from(policy.progress_deadline?).ok()?;
    // 0 ends every rollout that is not ready at once. What serves already may come back.
    let deadline = match deadline.is_zero() {
        true => DEFAULT_LIMIT,
        false => deadline,
    };
    let grace = policy
        .drain_grace
        .and_then(|it| Duration::try_from(it).ok());
    let is_bounded = match (deployment.lifecycle(), goal) {
        (Destroying, WaitGoal::Destroyed) => true,
        (
            Pending | Ready,
            WaitGoal::Serves(_) | WaitGoal::Advanced { .. } | WaitGoal::Settled | WaitGoal::Ready,
        ) => crate::needed_action(deployment).is_none(),
        _ => false,
    };
    // The end of a route begins when its grace is over.
    is_bounded.then(|| deadline + grace.unwrap_or_default())
}

/// The limit where the policy has a `progress_deadline` of 0: that of a policy without any.
const DEFAULT_LIMIT: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{DeploymentPolicy, ReplicaCounts};

    use super::*;

    fn ready(count: i32) -> Deployment {
        let seconds = |seconds| Some(prost_types::Duration { seconds, nanos: 0 });
        let mut deployment = Deployment {
            target_replicas: 3,
            current_revision_id: "rev-1".to_owned(),
            blue: Some(ReplicaCounts {
                ready: count,
                ..ReplicaCounts::default()
            }),
            policy: Some(DeploymentPolicy {
                progress_deadline: seconds(60),
                drain_grace: seconds(5),
                ..DeploymentPolicy::default()
            }),
            ..Deployment::default()
        };
        deployment.set_lifecycle(DeploymentLifecycle::Ready);
        deployment
    }

    #[tokio::test(start_paused = true)]
    async fn b7_too_few_routes_end_a_wait_after_the_progress_deadline() {
        let mut tracker = WaitTracker::new(WaitGoal::Ready);
        let start = Instant::now();
        assert_eq!(tracker.observe(&ready(0)), WaitProgress::InProgress);
        let limit = Duration::from_secs(65);
        let stall = (start + limit, MissReason::NoProgress(limit));
        assert_eq!(tracker.stalls_at(), Some(stall));

        // One more is progress; one less, or the same again, is none.
        tokio::time::advance(Duration::from_secs(30)).await;
        tracker.observe(&ready(1));
        let (at, _) = tracker.stalls_at().expect("a limit");
        assert_eq!(at, Instant::now() + limit);
        tokio::time::advance(Duration::from_secs(30)).await;
        tracker.observe(&ready(0));
        tracker.observe(&ready(1));
        assert_eq!(tracker.stalls_at().map(|it| it.0), Some(at));
        assert_eq!(tracker.observe(&ready(3)), WaitProgress::Reached);
    }

    #[tokio::test(start_paused = true)]
    async fn b7_a_deletion_whose_routes_do_not_end_is_bounded_too() {
        let mut deployment = ready(2);
        deployment.set_lifecycle(DeploymentLifecycle::Destroying);
        let mut tracker = WaitTracker::new(WaitGoal::Destroyed);
        tracker.observe(&deployment);
        let (first, _) = tracker.stalls_at().expect("a limit");
        tokio::time::advance(Duration::from_secs(10)).await;
        deployment.blue = Some(ReplicaCounts::default());
        tracker.observe(&deployment);
        let (second, _) = tracker.stalls_at().expect("a limit");
        assert_eq!(second - first, Duration::from_secs(10));
    }

    #[tokio::test(start_paused = true)]
    async fn b7_a_progress_deadline_of_zero_bounds_a_wait_too() {
        let mut deployment = ready(0);
        let policy = deployment.policy.as_mut().expect("a policy");
        policy.progress_deadline = Some(prost_types::Duration::default());
        let mut tracker = WaitTracker::new(WaitGoal::Ready);
        tracker.observe(&deployment);
        let limit = DEFAULT_LIMIT + Duration::from_secs(5);
        let stall = (Instant::now() + limit, MissReason::NoProgress(limit));
        assert_eq!(tracker.stalls_at(), Some(stall));
    }

    #[test]
    fn a_rollout_has_the_deadline_of_the_server() {
        let mut deployment = ready(3);
        deployment.set_lifecycle(DeploymentLifecycle::Deploying);
        deployment.deploying_revision_id = "rev-2".to_owned();
        let mut tracker = WaitTracker::new(WaitGoal::Ready);
        tracker.observe(&deployment);
        assert_eq!(tracker.stalls_at(), None);
    }
}
