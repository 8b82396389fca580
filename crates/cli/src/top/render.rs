//! The picture: a pure function of the model and the time.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout},
    style::{Color, Style, Stylize as _},
    text::Line,
    widgets::{Row, Table},
};
use viridian_proto::v1::Deployment;

use crate::{
    deployment::show::{Look, Motion},
    table::clean,
};

/// What there is to see.
#[derive(Debug, Default)]
pub(super) struct Model {
    pub(super) deployments: Vec<Deployment>,
    /// How many lines are scrolled away.
    pub(super) scrolled: usize,
    /// Why nothing is heard of the server.
    pub(super) lost: Option<String>,
}

impl Model {
    pub(super) fn scroll_down(&mut self) {
        let last = self.deployments.len().saturating_sub(1);
        self.scrolled = (self.scrolled + 1).min(last);
    }
}

/// Draws all of it.
pub(super) fn render(frame: &mut Frame<'_>, model: &Model, now: Timestamp) {
    let look = Look {
        coloured: false,
        now,
    };
    let motions = model.deployments.iter().map(|it| Motion::new(it, look));
    let moving: Vec<_> = motions.collect();
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(1),
        Constraint::Min(0),
        Constraint::Length(1),
    ])
    .areas(frame.area());
    let title = match (moving.len(), &model.lost) {
        (_, Some(lost)) => Line::from(format!("no news: {}", clean(lost))).red().bold(),
        (0, None) => Line::from("nothing is in motion").green(),
        (1, None) => Line::from("1 deployment is in motion").bold(),
        (count, None) => Line::from(format!("{count} deployments are in motion")).bold(),
    };
    frame.render_widget(title, top);
    frame.render_widget(table(moving, model.scrolled), middle);
    frame.render_widget(Line::from("↑↓ scroll   q leave").dim(), bottom);
}

fn table(moving: Vec<Motion>, scrolled: usize) -> Table<'static> {
    let rows: Vec<_> = moving.into_iter().skip(scrolled).collect();
    let widest = |cell: fn(&Motion) -> &String, least: &str| {
        let cells = rows.iter().map(|it| console::measure_text_width(cell(it)));
        let width = cells.max().unwrap_or_default().max(least.len());
        Constraint::Length(u16::try_from(width).unwrap_or(u16::MAX))
    };
    let widths = [
        widest(|it| &it.deployment, Motion::HEADER[0]),
        widest(|it| &it.state, Motion::HEADER[1]),
        Constraint::Length(7),
        Constraint::Length(9),
        Constraint::Length(9),
        Constraint::Length(7),
        Constraint::Min(10),
    ];
    let style = |it: &Motion| match it.state.as_str() {
        state if state.contains("ROLLING_BACK") => Style::new().fg(Color::Red),
        state if state.contains("AWAITING_PROMOTION") => Style::new().fg(Color::Magenta),
        state if state.contains("DESTROYING") => Style::new().fg(Color::DarkGray),
        _ => Style::new().fg(Color::Yellow),
    };
    let row = |it: Motion| {
        let style = style(&it);
        Row::new(it.cells()).style(style)
    };
    Table::new(rows.clone().into_iter().map(row), widths)
        .header(Row::new(Motion::HEADER).bold())
        .column_spacing(2)
}

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};

    use super::*;
    use crate::deployment::show::fixture;

    fn picture(model: &Model, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
        terminal
            .draw(|frame| render(frame, model, fixture::now()))
            .expect("a picture");
        terminal.backend().to_string()
    }

    #[test]
    fn each_has_its_line() {
        let mut newer = fixture::provisioning();
        newer.name = "newer".to_owned();
        newer.phase_start_time = fixture::at(290);
        let mut model = Model {
            deployments: vec![fixture::at_the_gate(), newer],
            ..Model::default()
        };
        insta::assert_snapshot!("two", picture(&model, 120, 6));
        model.scroll_down();
        model.scroll_down();
        model.lost = Some("cannot reach the server".to_owned());
        insta::assert_snapshot!("scrolled", picture(&model, 120, 6));
        insta::assert_snapshot!("nothing", picture(&Model::default(), 60, 4));
        for (columns, lines) in [(1, 1), (10, 2), (300, 100)] {
            picture(&model, columns, lines);
        }
    }
}
