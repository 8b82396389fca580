//! The table of `viridian top`: a pure function of the model and the time.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize as _},
    text::Line,
    widgets::{Row, Table},
};
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

use crate::{
    deployment::show::{InProgress, OutputStyle},
    enum_names::serves_badly,
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
    // ratatui colours the cells: escape codes inside them would be drawn as text.
    let style = OutputStyle {
        coloured: false,
        now,
    };
    let rows = model
        .deployments
        .iter()
        .map(|it| InProgress::new(it, style));
    let rows: Vec<_> = rows.collect();
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let title = match (rows.len(), &model.error) {
        (_, Some(error)) => Line::from(format!("cannot update: {}", clean(error)))
            .red()
            .bold(),
        (0, None) => Line::from("no deployments in progress").green(),
        (_, None) => Line::from(summary(&model.deployments)).bold(),
    };
    frame.render_widget(title, top);
    frame.render_widget(table(rows, model.scrolled), middle);
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

fn table(rows: Vec<InProgress>, scrolled: usize) -> Table<'static> {
    let rows: Vec<_> = rows.into_iter().skip(scrolled).collect();
    let widest = |cell: fn(&InProgress) -> &String, least: &str| {
        let cells = rows.iter().map(|it| console::measure_text_width(cell(it)));
        let width = cells.max().unwrap_or_default().max(least.len());
        Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
    };
    let widths = [
        widest(|it| &it.deployment, InProgress::HEADER[0]),
        widest(|it| &it.state, InProgress::HEADER[1]),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Min(10),
    ];
    let style = |it: &InProgress| match it.state.as_str() {
        state if state.contains("AVAILABLE") || state.contains("DEGRADED") => {
            Style::new().fg(Color::Red)
        }
        state if state.contains("ROLLING_BACK") => Style::new().fg(Color::Red),
        state if state.contains("AWAITING_PROMOTION") => Style::new().fg(Color::Magenta),
        state if state.contains("DESTROYING") => Style::new().fg(Color::DarkGray),
        _ => Style::new().fg(Color::Yellow),
    };
    let row = |it: InProgress| {
        let style = style(&it);
        Row::new(it.cells()).style(style)
    };
    Table::new(rows.clone().into_iter().map(row), widths)
        .header(Row::new(InProgress::HEADER).bold())
        .column_spacing(2)
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
