//! The shares of a canary as text.

use viridian_proto::v1::{CanaryStep, Deployment, TrafficSplit, deployment_policy::Strategy};

use super::{policy, ready::ready};
use crate::permille::to_words;

/// The steps of a deployment's policy; none if it is no canary.
pub(crate) fn steps(deployment: &Deployment) -> &[CanaryStep] {
    let policy = deployment.policy.as_ref();
    match policy.and_then(|it| it.strategy.as_ref()) {
        Some(Strategy::Canary(spec)) => &spec.steps,
        _ => &[],
    }
}

/// `2 of 3`: the step whose share green has. None before the first one, and without steps.
pub(crate) fn step_of_steps(deployment: &Deployment) -> Option<String> {
    let of = i32::try_from(steps(deployment).len()).unwrap_or(i32::MAX);
    // The policy may have lost steps since.
    (deployment.step > 0).then(|| format!("{} of {}", deployment.step, of.max(deployment.step)))
}

/// The step with what the policy says of it: `2 of 3, 25 % for 10m until advanced`.
pub(super) fn step(deployment: &Deployment) -> Option<String> {
    let place = step_of_steps(deployment)?;
    let index = usize::try_from(deployment.step).unwrap_or_default();
    let step = steps(deployment).get(index.checked_sub(1)?);
    Some(match step {
        Some(step) => format!("{place}, {}", policy::step(step)),
        None => place,
    })
}

/// Ready green of the target, with their share of the traffic: `1/3 (25 %)`.
pub(super) fn green(deployment: &Deployment) -> String {
    let ready = ready(deployment.green.as_ref(), deployment.target_replicas);
    match &deployment.split {
        Some(split) => format!("{ready} ({})", share(split)),
        None => ready,
    }
}

/// The same without what is asked for: a table has little room, and the blocker says it.
pub(super) fn green_in_table(deployment: &Deployment) -> String {
    let ready = ready(deployment.green.as_ref(), deployment.target_replicas);
    match &deployment.split {
        Some(split) => format!("{ready} ({})", to_words(split.effective_permille)),
        None => ready,
    }
}

/// The share that green has: `25 %`, or `12.5 of 25 %` if it is less than the step asks for.
pub(crate) fn share(split: &TrafficSplit) -> String {
    let asked = to_words(split.weight_permille);
    match split.effective_permille == split.weight_permille {
        true => asked,
        false => format!("{} of {asked}", f64::from(split.effective_permille) / 10.0),
    }
}

/// The shares of both revisions: `25 % to revision 2, 75 % to revision 1`.
pub(super) fn shares(deployment: &Deployment) -> Option<String> {
    let split = deployment.split.as_ref()?;
    // Only while not all of its routes are ready: otherwise both are the same number.
    let asked = match split.effective_permille < split.weight_permille {
        true => format!(" ({} asked for)", to_words(split.weight_permille)),
        false => String::new(),
    };
    Some(format!(
        "{} to revision {}{asked}, {} to revision {}",
        to_words(split.effective_permille),
        deployment.deploying_revision_number,
        to_words(1_000 - split.effective_permille),
        deployment.current_revision_number,
    ))
}

/// A bar of the traffic, in columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SplitBar {
    /// What green has.
    pub(crate) green: usize,
    /// What green should have besides, and blue has instead.
    pub(crate) missing: usize,
    /// What blue is to have.
    pub(crate) blue: usize,
}

impl SplitBar {
    /// A bar of this width. A share above 0 has a column at least, and so has what is left.
    pub(crate) fn new(split: &TrafficSplit, width: usize) -> Self {
        let columns = |permille: i32| match usize::try_from(permille).unwrap_or_default() {
            0 => 0,
            1_000.. => width,
            permille => (permille * width / 1_000).clamp(1, width.saturating_sub(1).max(1)),
        };
        // In a narrow bar one column may be all there is.
        let green = columns(split.effective_permille).min(width);
        let asked = columns(split.weight_permille).clamp(green, width.max(green));
        Self {
            green,
            missing: asked - green,
            blue: width - asked,
        }
    }

    /// Its parts: what green has, lacks, and what blue has.
    pub(crate) fn parts(self) -> [String; 3] {
        [
            GREEN.repeat(self.green),
            MISSING.repeat(self.missing),
            BLUE.repeat(self.blue),
        ]
    }
}

/// Three that differ without colours, too.
const GREEN: &str = "█";
const MISSING: &str = "▒";
const BLUE: &str = "░";

#[cfg(test)]
mod tests {
    use super::{super::fixture, *};

    fn split(weight_permille: i32, effective_permille: i32) -> TrafficSplit {
        TrafficSplit {
            revision_id: "rev-2".to_owned(),
            weight_permille,
            effective_permille,
        }
    }

    #[test]
    fn a_share_below_what_is_asked_for_has_both() {
        let mut canary = fixture::canary();
        assert_eq!(green(&canary), "1/3 (25 %)");
        assert_eq!(
            shares(&canary).as_deref(),
            Some("25 % to revision 2, 75 % to revision 1")
        );
        assert_eq!(
            step(&canary).as_deref(),
            Some("2 of 3, 25 % for 10m until advanced")
        );
        canary.split = Some(split(250, 125));
        assert_eq!(green(&canary), "1/3 (12.5 of 25 %)");
        assert_eq!(green_in_table(&canary), "1/3 (12.5 %)");
        assert_eq!(
            shares(&canary).as_deref(),
            Some("12.5 % to revision 2 (25 % asked for), 87.5 % to revision 1")
        );
        canary.split = None;
        canary.step = 0;
        assert_eq!((shares(&canary), step(&canary)), (None, None));
        // A policy that was shortened meanwhile.
        canary.step = 7;
        assert_eq!(step(&canary).as_deref(), Some("7 of 7"));
    }

    #[test]
    fn a_bar_shows_each_share_that_there_is() {
        let bar = |weight, effective, width| {
            SplitBar::new(&split(weight, effective), width)
                .parts()
                .concat()
        };
        assert_eq!(bar(250, 250, 20), "█████░░░░░░░░░░░░░░░");
        assert_eq!(bar(500, 250, 20), "█████▒▒▒▒▒░░░░░░░░░░");
        assert_eq!(bar(500, 0, 8), "▒▒▒▒░░░░");
        // 0.1 % is seen, and so is the rest of 99.9 %.
        assert_eq!(bar(1, 1, 8), "█░░░░░░░");
        assert_eq!(bar(999, 999, 8), "███████░");
        // With all of blue gone green has everything.
        assert_eq!(bar(250, 1_000, 8), "████████");
        for width in 0..5 {
            for (weight, effective) in [(1, 0), (500, 250), (999, 999), (250, 1_000)] {
                let bar = bar(weight, effective, width);
                assert_eq!(bar.chars().count(), width, "{weight} {effective}");
            }
        }
    }
}
