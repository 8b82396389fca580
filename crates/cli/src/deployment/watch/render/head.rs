//! The top of the live view: state, blockers and deadlines.

use jiff::Timestamp;
use ratatui::{
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use super::super::model::WatchModel;
use crate::{
    deployment::show::{countdown, since},
    enum_names::{self, qualified_name},
    table::clean,
};

pub(super) fn head(model: &WatchModel, now: Timestamp) -> Vec<Line<'static>> {
    let deployment = &model.deployment;
    let mut lines = vec![title(deployment, now)];
    lines.extend(deployment.blockers.iter().map(|it| {
        let left = it.until_time.as_ref();
        let left = left.map_or_else(String::new, |at| format!("  {}", countdown(at, now)));
        Line::from(vec![
            Span::from("  blocker: ").dim(),
            Span::from(clean(&it.message)).yellow(),
            Span::from(left).bold(),
        ])
    }));
    if deployment.blockers.is_empty() {
        lines.push(Line::from("  no blockers").dim());
    }
    lines.extend(deadline(deployment, now));
    if let Some(error) = &model.connection_error {
        lines.push(
            Line::from(format!("  connection lost: {}", clean(error)))
                .red()
                .bold(),
        );
    }
    lines.push(Line::default());
    lines
}

fn title(deployment: &Deployment, now: Timestamp) -> Line<'static> {
    let mut spans = vec![
        Span::from(qualified_name(deployment)).bold(),
        Span::from("  "),
        Span::styled(enum_names::state(deployment), state_style(deployment)),
    ];
    if let Some(at) = &deployment.phase_start_time {
        spans.push(Span::from(format!("  for {}", since(at, now))));
    }
    if enum_names::serves_badly(deployment) {
        let availability = enum_names::availability(deployment.availability());
        spans.push(Span::from(format!("  {availability}")).red().bold());
    }
    if deployment.paused {
        spans.push(Span::from("  PAUSED").yellow().bold());
    }
    Line::from(spans)
}

/// The deadline of the rollout. There is none during a pause.
fn deadline(deployment: &Deployment, now: Timestamp) -> Option<Line<'static>> {
    let at = deployment.deadline_time.as_ref()?;
    let what = match deployment.sub_step() {
        DeploymentSubStep::AwaitingPromotion => "the gate times out in ",
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
        (_, DeploymentSubStep::AwaitingPromotion) => Color::Magenta,
        (DeploymentLifecycle::Ready, _) => Color::Green,
        (DeploymentLifecycle::Destroyed | DeploymentLifecycle::Destroying, _) => Color::DarkGray,
        _ => Color::Yellow,
    };
    Style::new().fg(colour).bold()
}
