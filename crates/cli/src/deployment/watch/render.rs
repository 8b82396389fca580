//! Draws the live view: a pure function of the model and the time.

use jiff::Timestamp;
use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Style, Stylize as _},
    text::{Line, Span, Text},
    widgets::{Block, Borders, Paragraph, Wrap},
};

use super::model::WatchModel;
use crate::elide;

mod foot;
mod head;
mod timeline;
mod tree;

/// Draws the live view.
pub(super) fn render(frame: &mut Frame<'_>, model: &WatchModel, now: Timestamp) {
    let area = frame.area();
    let width = usize::from(area.width);
    let head = head::head(model, now, width);
    let foot = foot::foot(model, width);
    // The bottom is measured first: a question must stay visible on a small screen.
    let foot_height = foot_height(&foot, area);
    let [top, middle, bottom] = Layout::vertical([
        Constraint::Length(height(head.len())),
        Constraint::Min(0),
        Constraint::Length(foot_height),
    ])
    .areas(area);
    // The tree gets the lines that it needs, but always leaves some to the history.
    let min_history = height(model.history.len().min(MIN_HISTORY_LINES)) + 1;
    let lines = usize::from(middle.height.saturating_sub(min_history));
    let tree = tree::tree(model, now, lines, width);
    let [upper, lower] =
        Layout::vertical([Constraint::Length(height(tree.len())), Constraint::Min(0)])
            .areas(middle);
    frame.render_widget(Text::from(head), top);
    frame.render_widget(Text::from(tree), upper);
    timeline(frame, lower, model, now);
    frame.render_widget(Paragraph::new(foot).wrap(Wrap { trim: false }), bottom);
}

fn timeline(frame: &mut Frame<'_>, area: Rect, model: &WatchModel, now: Timestamp) {
    let block = Block::new()
        .borders(Borders::TOP)
        .border_style(Style::new().dim())
        .title(Line::from(" history ").dim());
    let inner = block.inner(area);
    let lines = timeline::timeline(model, now, inner);
    frame.render_widget(block, area);
    frame.render_widget(Text::from(lines), inner);
}

/// A line without what passes the edge of the screen.
fn cut(line: Line<'static>, width: usize) -> Line<'static> {
    if line.width() <= width {
        return line;
    }
    let mut room = width;
    let mut spans = Vec::new();
    for span in line.spans {
        if span.width() <= room {
            room -= span.width();
            spans.push(span);
            continue;
        }
        let text = elide::end(&span.content, room);
        spans.push(Span::styled(text, span.style));
        break;
    }
    Line::from(spans).style(line.style)
}

/// A refusal may take several lines, but at most half of the screen.
fn foot_height(foot: &[Line<'_>], area: Rect) -> u16 {
    // Lines wrap at words, so that they are not always full.
    let full = usize::from(area.width).max(2) * 9 / 10;
    let lines = foot.iter().map(|line| line.width().div_ceil(full).max(1));
    height(lines.sum()).min(area.height.div_ceil(2))
}

fn height(lines: usize) -> u16 {
    u16::try_from(lines).unwrap_or(u16::MAX)
}

/// Lines of history that are shown with any number of routes.
const MIN_HISTORY_LINES: usize = 5;

#[cfg(test)]
mod tests {
    use ratatui::{Terminal, backend::TestBackend};
    use viridian_proto::v1::{DeploymentLifecycle, DeploymentSubStep, RouteStatus};

    use super::{
        super::model::{ActionNotice, tests::at_the_gate},
        *,
    };
    use crate::{deployment::show::fixture, screen::KeyPress};

    fn picture(model: &WatchModel, columns: u16, lines: u16) -> String {
        let mut terminal = Terminal::new(TestBackend::new(columns, lines)).expect("a terminal");
        terminal
            .draw(|frame| render(frame, model, fixture::now()))
            .expect("a picture");
        terminal.backend().to_string()
    }

    fn provisioning() -> WatchModel {
        WatchModel {
            deployment: fixture::provisioning(),
            ..at_the_gate()
        }
    }

    #[test]
    fn a_running_rollout() {
        insta::assert_snapshot!("provisioning", picture(&provisioning(), 110, 28));
    }

    #[test]
    fn at_the_gate_with_its_question() {
        let mut model = at_the_gate();
        insta::assert_snapshot!("at_the_gate", picture(&model, 110, 28));
        for (key, name) in [('p', "promote"), ('a', "abort"), (' ', "pause")] {
            let mut model = model.clone();
            model.press(KeyPress::Letter(key));
            let picture = picture(&model, 110, 28);
            let question = picture.lines().rev().find(|line| line.contains("[y/n]"));
            let question = question.expect("a question").trim_matches('"').trim_end();
            insta::assert_snapshot!(format!("question_{name}"), question);
        }
        model.press(KeyPress::Letter('p'));
        model.press(KeyPress::Letter('y'));
        model.finish_action(ActionNotice::Failed(
            "shop/cart cannot be promoted yet\n  - 1 of 3 green routes is ready".to_owned(),
        ));
        insta::assert_snapshot!("refused", picture(&model, 110, 28));
    }

    #[test]
    fn a_canary_with_its_share_and_its_step() {
        for (name, deployment) in [
            ("canary", fixture::canary()),
            ("manual_step", fixture::manual_step()),
        ] {
            let mut model = WatchModel {
                deployment,
                ..at_the_gate()
            };
            let mut shift = model.history[0].clone();
            shift.phase = "SHIFT".to_owned();
            shift.weight_permille = 250;
            shift.reason = "step 2 of 3: 25 % to green".to_owned();
            model.history.insert(0, shift);
            for columns in [110, 80, 60] {
                let picture = picture(&model, columns, 24);
                insta::assert_snapshot!(format!("{name}_{columns}"), picture);
                for text in [
                    "step:    2 of 3",
                    "█",
                    "░",
                    "25 % to green",
                    "n advance",
                    "q quit",
                ] {
                    assert!(picture.contains(text), "{columns}: {text}\n{picture}");
                }
            }
            model.press(KeyPress::Letter('n'));
            let picture = picture(&model, 110, 24);
            assert!(
                picture.contains("Advance shop/cart past step 2 of 3?"),
                "{picture}"
            );
        }
        // A first step without traffic.
        let mut dark = WatchModel {
            deployment: fixture::canary(),
            ..at_the_gate()
        };
        dark.deployment.split = None;
        dark.deployment.step = 1;
        let picture = picture(&dark, 60, 24);
        assert!(
            picture.contains("step:    1 of 3  no traffic to green"),
            "{picture}"
        );
    }

    #[test]
    fn after_a_promotion_retained_routes_are_shown() {
        let mut model = at_the_gate();
        model.deployment.set_lifecycle(DeploymentLifecycle::Ready);
        model
            .deployment
            .set_sub_step(DeploymentSubStep::Unspecified);
        model.deployment.current_revision_id = "rev-2".to_owned();
        model.deployment.deploying_revision_id.clear();
        model.deployment.blockers.clear();
        model.deployment.green = None;
        model.deployment.paused = true;
        for route in &mut model.routes {
            if route.revision_id == "rev-1" {
                route.retained = true;
            }
        }
        model.routes[0].set_status(RouteStatus::Terminated);
        model.connection_error = Some("cannot reach the server".to_owned());
        insta::assert_snapshot!("retained", picture(&model, 110, 28));
    }

    #[test]
    fn of_a_thousand_routes_the_unhealthy_come_first() {
        let mut model = provisioning();
        let well = model.routes[3].clone();
        model.deployment.target_replicas = 1000;
        for number in 0..1000 {
            let mut route = well.clone();
            route.id = format!("route-{number}");
            model.routes.insert(0, route);
        }
        insta::assert_snapshot!("many_routes", picture(&model, 100, 24));
    }

    #[test]
    fn c7_what_matters_is_on_a_screen_of_80_and_of_60_columns() {
        let mut long = provisioning();
        long.deployment.project = "payments-platform".to_owned();
        long.deployment.name = "card-authorization-gateway-eu-1".to_owned();
        for columns in [80, 60] {
            for (name, model) in [("provisioning", &long), ("at_the_gate", &at_the_gate())] {
                let picture = picture(model, columns, 28);
                insta::assert_snapshot!(format!("{name}_{columns}"), picture);
            }
            let picture = picture(&long, columns, 28);
            // The time that is left, the end of the name, and the state.
            for text in ["6m40s", "gateway-eu-1", "PROVISIONING", "q quit"] {
                assert!(picture.contains(text), "{columns}: {text}\n{picture}");
            }
        }
    }

    #[test]
    fn every_size_can_be_drawn() {
        let canary = WatchModel {
            deployment: fixture::manual_step(),
            ..at_the_gate()
        };
        let models = [provisioning(), at_the_gate(), canary, WatchModel::default()];
        for model in &models {
            for (columns, lines) in [(1, 1), (10, 3), (20, 5), (80, 6), (300, 100)] {
                picture(model, columns, lines);
            }
        }
    }
}
