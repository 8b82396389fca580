//! The table of `viridian top`: a pure function of the model and the time.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize as _},
    text::{Line, Text},
};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep};

use crate::{
    deployment::show::{OutputStyle, in_progress_table},
    enum_names::{awaits_someone, serves_badly},
    table::{clean, counted},
};

/// The state of the live table.
#[derive(Debug, Default)]
pub(super) struct TopModel {
    pub(super) deployments: Vec<Deployment>,
    /// Lines scrolled off the top.
    pub(super) scrolled: usize,
    /// Why the last read failed.
    pub(super) error: Option<String>,
}

impl TopModel {
    pub(super) fn scroll_down(&mut self) {
        let last = self.deployments.len().saturating_sub(1);
        self.scrolled = (self.scrolled + 1).min(last);
    }
}

/// Draws the table.
pub(super) fn render(frame: &mut Frame<'_>, model: &TopModel, now: Timestamp) {
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let title = match (model.deployments.len(), &model.error) {
        (_, Some(error)) => Line::from(format!("cannot update: {}", clean(error)))
            .red()
            .bold(),
        (0, None) => Line::from("no deployments in progress").green(),
        (_, None) => Line::from(summary(&model.deployments)).bold(),
    };
    frame.render_widget(title, top);
    frame.render_widget(Text::from(lines(model, now, middle)), middle);
    frame.render_widget(Line::from("↑↓ scroll   q quit").dim(), bottom);
}

/// `2 deployments in progress, 1 serves badly`. One may be both.
fn summary(deployments: &[Deployment]) -> String {
    let ready = |it: &&Deployment| it.lifecycle() == DeploymentLifecycle::Ready;
    let moving = deployments.len() - deployments.iter().filter(ready).count();
    let moving = match moving {
        0 => "no deployments".to_owned(),
        count => counted(count as u64, "deployment"),
    };
    let badly = deployments.iter().filter(|it| serves_badly(it)).count();
    match badly {
        0 => format!("{moving} in progress"),
        1 => format!("{moving} in progress, 1 serves badly"),
        count => format!("{moving} in progress, {count} serve badly"),
    }
}

/// The header, and the deployments that fit.
fn lines(model: &TopModel, now: Timestamp, area: Rect) -> Vec<Line<'static>> {
    if model.deployments.is_empty() {
        return Vec::new();
    }
    // ratatui colours the lines: escape codes inside them would be drawn as text.
    let style = OutputStyle {
        coloured: false,
        now,
        width: Some(area.width.into()),
    };
    let table = in_progress_table(&model.deployments, style);
    let mut lines = table.lines().map(|it| Line::from(it.to_owned()));
    let header = lines.next().map(Line::bold);
    let rows = lines.zip(&model.deployments);
    let rows = rows.map(|(line, deployment)| line.style(row_style(deployment)));
    header
        .into_iter()
        .chain(rows.skip(model.scrolled))
        .take(area.height.into())
        .collect()
}

fn row_style(deployment: &Deployment) -> Style {
    Style::new().fg(match (deployment.lifecycle(), deployment.sub_step()) {
        _ if serves_badly(deployment) => Color::Red,
        (_, DeploymentSubStep::RollingBack) => Color::Red,
        _ if awaits_someone(deployment) => Color::Magenta,
        (DeploymentLifecycle::Destroying, _) => Color::DarkGray,
        _ => Color::Yellow,
    })
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use viridian_proto::v1::DeploymentAvailability;

    use super::*;
    use crate::deployment::show::fixture;

    fn picture(model: &TopModel, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
        terminal
            .draw(|frame| render(frame, model, fixture::now()))
            .expect("a picture");
        terminal.backend().to_string()
    }

    #[test]
    fn a_deployment_is_a_line() {
        let mut newer = fixture::provisioning();
        newer.name = "newer".to_owned();
        newer.phase_start_time = fixture::at(290);
        let mut model = TopModel {
            deployments: vec![fixture::at_the_gate(), newer],
            ..TopModel::default()
        };
        insta::assert_snapshot!("two", picture(&model, 120, 6));
        model.scroll_down();
        model.scroll_down();
        model.error = Some("cannot reach the server".to_owned());
        insta::assert_snapshot!("scrolled", picture(&model, 120, 6));
        insta::assert_snapshot!("nothing", picture(&TopModel::default(), 60, 4));
        model.error = None;
        model.scrolled = 0;
        insta::assert_snapshot!("c7_two_80", picture(&model, 80, 6));
        insta::assert_snapshot!("c7_two_60", picture(&model, 60, 6));
        model.deployments = vec![fixture::canary(), fixture::manual_step()];
        insta::assert_snapshot!("canaries_80", picture(&model, 80, 6));
        insta::assert_snapshot!("canaries_60", picture(&model, 60, 6));
        for (columns, lines) in [(1, 1), (10, 2), (300, 100)] {
            picture(&model, columns, lines);
        }
    }

    #[test]
    fn c1_what_serves_badly_is_counted_beside_what_is_in_progress() {
        let mut gate = fixture::at_the_gate();
        assert_eq!(summary(&[gate.clone()]), "1 deployment in progress");
        gate.set_availability(DeploymentAvailability::Degraded);
        assert_eq!(
            summary(&[gate.clone()]),
            "1 deployment in progress, 1 serves badly"
        );
        let mut broken = fixture::at_the_gate();
        broken.set_lifecycle(DeploymentLifecycle::Ready);
        broken.set_availability(DeploymentAvailability::Unavailable);
        assert_eq!(
            summary(&[broken.clone()]),
            "no deployments in progress, 1 serves badly"
        );
        assert_eq!(
            summary(&[gate.clone(), gate, broken]),
            "2 deployments in progress, 3 serve badly"
        );
    }
}
