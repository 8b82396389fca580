//! The history in the live view, newest first.

use jiff::Timestamp;
use ratatui::{
    layout::Rect,
    style::{Color, Stylize as _},
    text::{Line, Span},
};
use viridian_proto::v1::{HistoryEntry, HistoryResult};

use super::{super::model::WatchModel, cut};
use crate::{
    deployment::show::{operation, since, transition, why},
    table::clean,
};

/// As many entries as fit, from the first that is not scrolled away.
pub(super) fn timeline(model: &WatchModel, now: Timestamp, area: Rect) -> Vec<Line<'static>> {
    let (lines, width) = (usize::from(area.height), usize::from(area.width));
    let entries = model.history.iter().skip(model.scrolled).take(lines);
    let line = |entry| cut(line(entry, model, now), width);
    entries.map(line).collect()
}

fn line(entry: &HistoryEntry, model: &WatchModel, now: Timestamp) -> Line<'static> {
    let colour = match entry.result() {
        HistoryResult::Success => Color::Green,
        HistoryResult::RolledBack | HistoryResult::Failed => Color::Red,
        HistoryResult::Waiting | HistoryResult::Unspecified => Color::Yellow,
    };
    let age = entry.create_time.as_ref().map(|at| since(at, now));
    let why = match why(entry) {
        why if why.is_empty() => why,
        why => format!(": {why}"),
    };
    Line::from(vec![
        Span::from(format!("{:>6}  ", age.unwrap_or_default())).dim(),
        Span::from(format!("{:<9}  ", operation(entry))).fg(colour),
        Span::from(transition(entry)),
        Span::from(format!(
            "  revision {} by {}",
            model.revisions.number(&entry.revision_id),
            clean(&entry.actor)
        ))
        .dim(),
        Span::from(why),
    ])
}
