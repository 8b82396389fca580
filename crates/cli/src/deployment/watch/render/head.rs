//! The top of the live view: state, blockers and deadlines.

use jiff::Timestamp;
use ratatui::{
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
};
use viridian_proto::v1::{Blocker, Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::{super::model::WatchModel, cut};
use crate::{
    deployment::show::{self, SplitBar, countdown, since},
    elide,
    enum_names::{self, qualified_name},
    table::clean,
};

pub(super) fn head(model: &WatchModel, now: Timestamp, width: usize) -> Vec<Line<'static>> {
    let deployment = &model.deployment;
    let mut lines = vec![title(deployment, now, width)];
    lines.extend(split(deployment, width));
    let blockers = deployment.blockers.iter();
    lines.extend(blockers.map(|it| blocker(it, now, width)));
    if deployment.blockers.is_empty() {
        lines.push(Line::from("  no blockers").dim());
    }
    lines.extend(deadline(deployment, now));
    if let Some(error) = &model.connection_error {
        let error = format!("  connection lost: {}", clean(error));
        lines.push(cut(Line::from(error).red().bold(), width));
    }
    lines.push(Line::default());
    lines
}

/// The step of a canary, and the share that green has as a bar.
fn split(deployment: &Deployment, width: usize) -> Option<Line<'static>> {
    let step = show::step_of_steps(deployment)?;
    let label = Span::from("  step:    ").dim();
    let mut spans = vec![label, Span::from(step).bold()];
    let Some(split) = &deployment.split else {
        // A first step without traffic.
        spans.push(Span::from("  no traffic to green").dim());
        return Some(cut(Line::from(spans), width));
    };
    let tail = Span::from(format!("  {} to green", show::share(split)));
    let taken = spans.iter().map(Span::width).sum::<usize>() + tail.width() + 2;
    let bar = SplitBar::new(split, width.saturating_sub(taken).min(MAX_BAR_WIDTH));
    let [green, missing, blue] = bar.parts();
    spans.extend([
        Span::from("  "),
        Span::from(green).fg(Color::Green),
        Span::from(missing).fg(Color::Yellow),
        Span::from(blue).fg(Color::Blue),
        tail.bold(),
    ]);
    Some(cut(Line::from(spans), width))
}

/// A blocker with its countdown, which stays on the screen: the sentence is cut instead.
fn blocker(blocker: &Blocker, now: Timestamp, width: usize) -> Line<'static> {
    let left = blocker.until_time.as_ref();
    let left = left.map_or_else(String::new, |at| format!("  {}", countdown(at, now)));
    let label = "  blocker: ";
    let room = width.saturating_sub(label.len() + left.len());
    Line::from(vec![
        Span::from(label).dim(),
        Span::from(elide::end(&clean(&blocker.message), room)).yellow(),
        Span::from(left).bold(),
    ])
}

fn title(deployment: &Deployment, now: Timestamp, width: usize) -> Line<'static> {
    let name = qualified_name(deployment);
    let mut tail = Vec::new();
    if let Some(at) = &deployment.phase_start_time {
        tail.push(Span::from(format!("  for {}", since(at, now))));
    }
    if enum_names::serves_badly(deployment) {
        let availability = enum_names::availability(deployment.availability());
        tail.push(Span::from(format!("  {availability}")).red().bold());
    }
    if deployment.paused {
        tail.push(Span::from("  PAUSED").yellow().bold());
    }
    let taken = tail.iter().map(Span::width).sum::<usize>() + 2;
    let mut state = enum_names::state(deployment);
    if name.len() + taken + state.len() > width {
        enum_names::short_state(deployment).clone_into(&mut state);
    }
    let room = width.saturating_sub(taken + state.len());
    let mut spans = vec![
        Span::from(elide::middle(&name, room.max(MIN_NAME_WIDTH))).bold(),
        Span::from("  "),
        Span::styled(state, state_style(deployment)),
    ];
    spans.extend(tail);
    cut(Line::from(spans), width)
}

/// The deadline of the rollout, or of a first revision. There is none during a pause.
fn deadline(deployment: &Deployment, now: Timestamp) -> Option<Line<'static>> {
    let at = deployment.deadline_time.as_ref()?;
    let what = match (deployment.lifecycle(), deployment.sub_step()) {
        // It is tried on all the same.
        (DeploymentLifecycle::Pending, _) => "counts as failed in ",
        (_, DeploymentSubStep::AwaitingPromotion) => "the gate times out in ",
        _ if enum_names::awaits_someone(deployment) => "the step times out in ",
        _ => "rolls back without progress in ",
    };
    Some(Line::from(vec![
        Span::from(format!("  {what}")).dim(),
        Span::from(countdown(at, now)).bold(),
    ]))
}

pub(in crate::deployment::watch) fn state_style(deployment: &Deployment) -> Style {
    let colour = match (deployment.lifecycle(), deployment.sub_step()) {
        (_, DeploymentSubStep::RollingBack) => Color::Red,
        _ if enum_names::awaits_someone(deployment) => Color::Magenta,
        (DeploymentLifecycle::Ready, _) => Color::Green,
        (DeploymentLifecycle::Destroyed | DeploymentLifecycle::Destroying, _) => Color::DarkGray,
        _ => Color::Yellow,
    };
    Style::new().fg(colour).bold()
}

/// A wider bar says no more.
const MAX_BAR_WIDTH: usize = 40;

/// The name keeps this much, on a screen of any width.
const MIN_NAME_WIDTH: usize = 12;
