//! The deployments in progress as text.

use viridian_proto::v1::{BlockerCode, Deployment, DeploymentLifecycle};

use super::{
    OutputStyle,
    age::{countdown, since},
    ready::ready,
    split,
};
use crate::{
    enum_names::{self, qualified_name},
    table::{TableColumn, clean, table},
};

/// The row of a deployment in progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct InProgress {
    pub(crate) deployment: String,
    pub(crate) state: String,
    pub(crate) age: String,
    pub(crate) blue: String,
    pub(crate) green: String,
    /// Time until the next deadline.
    pub(crate) ends_in: String,
    pub(crate) waits_for: String,
}

impl InProgress {
    pub(crate) fn new(deployment: &Deployment, style: OutputStyle) -> Self {
        let target = deployment.target_replicas;
        let is_deploying = deployment.lifecycle() == DeploymentLifecycle::Deploying;
        Self {
            deployment: qualified_name(deployment),
            state: format!(
                "{}{}",
                enum_names::short_state(deployment),
                enum_names::state_remarks(deployment)
            ),
            age: deployment
                .phase_start_time
                .as_ref()
                .map_or_else(|| "-".to_owned(), |at| since(at, style.now)),
            blue: ready(deployment.blue.as_ref(), target),
            green: match is_deploying {
                true => split::green_in_table(deployment),
                false => "-".to_owned(),
            },
            ends_in: ends_in(deployment, style),
            waits_for: waits_for(deployment),
        }
    }

    /// In the order of [`InProgress::HEADER`].
    pub(crate) fn cells(self) -> [String; 7] {
        [
            self.deployment,
            self.state,
            self.age,
            self.blue,
            self.green,
            self.ends_in,
            self.waits_for,
        ]
    }

    pub(crate) const HEADER: [&str; 7] = [
        "DEPLOYMENT",
        "STATE",
        "FOR",
        "BLUE",
        "GREEN",
        "ENDS IN",
        "WAITS FOR",
    ];
}

/// A table of deployments in progress.
pub(crate) fn in_progress_table(deployments: &[Deployment], style: OutputStyle) -> String {
    if deployments.is_empty() {
        return "no deployments in progress".to_owned();
    }
    let row = |it: &Deployment| {
        let mut cells = InProgress::new(it, style).cells().to_vec();
        if let Some(waits_for) = cells.last_mut() {
            *waits_for = style.waiting(waits_for);
        }
        cells
    };
    let [deployment, state, age, blue, green, ends_in, waits_for] = InProgress::HEADER;
    let header = [
        TableColumn::name(deployment, 12),
        TableColumn::whole(state),
        TableColumn::optional(age),
        TableColumn::whole(blue),
        TableColumn::whole(green),
        TableColumn::whole(ends_in),
        TableColumn::text(waits_for, 10),
    ];
    table(&header, deployments.iter().map(row).collect(), style.width)
}

/// The deployments in progress, sorted by the start of their present step, oldest first.
pub(crate) fn in_progress(mut deployments: Vec<Deployment>) -> Vec<Deployment> {
    deployments.retain(is_in_progress);
    deployments.sort_by_key(|it| {
        // Without a start it sorts first.
        let at = it.phase_start_time.unwrap_or_default();
        (at.seconds, at.nanos)
    });
    deployments
}

/// A PENDING deployment without a revision is idle: nothing will happen to it. A READY one
/// that serves badly is on its way to serve well.
fn is_in_progress(deployment: &Deployment) -> bool {
    use DeploymentLifecycle::{Deploying, Destroying, Pending, Ready};
    let mut codes = deployment.blockers.iter().map(|it| it.code());
    match deployment.lifecycle() {
        Deploying | Destroying => true,
        Pending => {
            codes.all(|code| ![BlockerCode::NoRevision, BlockerCode::NoReplicas].contains(&code))
        }
        Ready => enum_names::serves_badly(deployment),
        _ => false,
    }
}

/// The time until the earliest deadline of the deployment and its blockers.
fn ends_in(deployment: &Deployment, style: OutputStyle) -> String {
    let deadlines = deployment
        .blockers
        .iter()
        .filter_map(|it| it.until_time.as_ref())
        .chain(deployment.deadline_time.as_ref());
    let first = deadlines.min_by_key(|at| (at.seconds, at.nanos));
    first.map_or_else(|| "-".to_owned(), |at| countdown(at, style.now))
}

fn waits_for(deployment: &Deployment) -> String {
    match deployment.blockers.as_slice() {
        [] => "-".to_owned(),
        [one] => clean(&one.message),
        [first, rest @ ..] => format!("{} (+{} more)", clean(&first.message), rest.len()),
    }
}

#[cfg(test)]
mod tests {
    use viridian_proto::v1::{Blocker, DeploymentAvailability, DeploymentSubStep};

    use super::{super::fixture, *};

    #[test]
    fn the_oldest_is_first_and_idle_ones_are_left_out() {
        let gate = fixture::at_the_gate();
        let mut newer = fixture::provisioning();
        newer.name = "newer".to_owned();
        newer.phase_start_time = fixture::at(290);
        newer.paused = true;
        let mut ready = fixture::at_the_gate();
        ready.set_lifecycle(DeploymentLifecycle::Ready);
        ready.set_sub_step(DeploymentSubStep::Unspecified);
        let mut idle = Deployment::default();
        idle.set_lifecycle(DeploymentLifecycle::Pending);
        idle.blockers.push(Blocker {
            code: BlockerCode::NoRevision.into(),
            ..Blocker::default()
        });
        let all = [newer, ready, idle, gate];
        let rows = in_progress(all.to_vec());
        insta::assert_snapshot!("in_progress", in_progress_table(&rows, fixture::plain()));
        assert_eq!(
            in_progress_table(&[], fixture::plain()),
            "no deployments in progress"
        );
        let mut broken = all[1].clone();
        broken.set_availability(DeploymentAvailability::Unavailable);
        let rows = in_progress(vec![broken]);
        let table = in_progress_table(&rows, fixture::plain());
        assert!(table.contains("READY, UNAVAILABLE"), "{table}");
    }
}
