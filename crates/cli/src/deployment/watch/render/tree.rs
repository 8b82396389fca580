//! The tree in the live view: revisions with their routes.

use jiff::Timestamp;
use ratatui::{
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
};
use viridian_proto::v1::{ReplicaCounts, Route, RouteHealthStatus, RouteStatus};

use super::{super::model::WatchModel, cut};
use crate::{
    deployment::show::{RouteColour, since, traffic},
    elide, enum_names,
    table::clean,
};

/// A revision and its routes.
struct RevisionBranch<'a> {
    colour: RouteColour,
    revision: &'a str,
    counts: Option<ReplicaCounts>,
    routes: Vec<&'a Route>,
}

/// The tree, in at most this many lines.
pub(super) fn tree(
    model: &WatchModel,
    now: Timestamp,
    lines: usize,
    width: usize,
) -> Vec<Line<'static>> {
    let columns = RouteColumns::of(model, width);
    let mut branches = branches(model);
    // Each branch needs a line for its revision and an empty one.
    let mut room = lines.saturating_sub(2 * branches.len());
    // Lines are given to the smallest branches first: what they do not need is shared
    // among the larger ones.
    let mut order: Vec<_> = (0..branches.len()).collect();
    order.sort_by_key(|&index| branches[index].routes.len());
    let mut shares = vec![0; branches.len()];
    for (done, &index) in order.iter().enumerate() {
        let share = room / (order.len() - done);
        shares[index] = share.min(branches[index].routes.len());
        room -= shares[index];
    }
    let mut tree = Vec::new();
    for (branch, share) in branches.iter_mut().zip(shares) {
        tree.push(revision_line(branch, model, width));
        let routes = route_lines(branch, share, now, columns);
        tree.extend(routes.into_iter().map(|line| cut(line, width)));
        tree.push(Line::default());
    }
    // On a small screen there may be more revisions than lines.
    tree.truncate(lines);
    tree
}

fn branches(model: &WatchModel) -> Vec<RevisionBranch<'_>> {
    let deployment = &model.deployment;
    let mut branches = Vec::new();
    for (colour, revision, counts) in [
        (
            RouteColour::Blue,
            &deployment.current_revision_id,
            deployment.blue,
        ),
        (
            RouteColour::Green,
            &deployment.deploying_revision_id,
            deployment.green,
        ),
    ] {
        if !revision.is_empty() {
            let belongs = |it: &&Route| it.revision_id == *revision && is_shown(it, colour);
            branches.push(RevisionBranch {
                colour,
                revision,
                counts,
                routes: model.routes.iter().filter(belongs).collect(),
            });
        }
    }
    let is_old = |it: &&Route| {
        RouteColour::of(it, deployment) == RouteColour::Old && is_shown(it, RouteColour::Old)
    };
    // From the newest to the oldest, so that the newest revision comes first.
    for route in model.routes.iter().rev().filter(is_old) {
        let revision = route.revision_id.as_str();
        match branches.iter_mut().find(|it| it.revision == revision) {
            // They come newest first here, and are shown oldest first.
            Some(branch) => branch.routes.insert(0, route),
            None => branches.push(RevisionBranch {
                colour: RouteColour::Old,
                revision,
                counts: None,
                routes: vec![route],
            }),
        }
    }
    branches
}

/// Ended routes are hidden, but failures of the current and the deploying revision are
/// shown.
fn is_shown(route: &Route, colour: RouteColour) -> bool {
    match route.status() {
        RouteStatus::Terminated => false,
        RouteStatus::FailedToStart => colour != RouteColour::Old,
        _ => true,
    }
}

fn revision_line(branch: &RevisionBranch<'_>, model: &WatchModel, width: usize) -> Line<'static> {
    let style = match branch.colour {
        RouteColour::Blue => Style::new().fg(Color::Blue),
        RouteColour::Green => Style::new().fg(Color::Green),
        RouteColour::Old => Style::new().dim(),
    };
    let is_retained = branch.routes.iter().any(|it| it.retained);
    let name = match branch.colour {
        RouteColour::Old if is_retained => "kept",
        colour => colour.name(),
    };
    let mut counted = Vec::new();
    if let Some(counts) = branch.counts {
        let target = model.deployment.target_replicas;
        counted.push(Span::from(format!("  {}/{target} ready", counts.ready)).bold());
        for (count, what) in [
            (counts.active_traffic, "with traffic"),
            (counts.provisioning, "starting"),
            (counts.unhealthy, "not healthy"),
            (counts.failed, "failed"),
        ] {
            if count > 0 {
                counted.push(Span::from(format!(", {count} {what}")));
            }
        }
    }
    let label = format!("● {name:<5}");
    let program = format!("  revision {}", model.revisions.name(branch.revision));
    let taken = label.chars().count() + counted.iter().map(Span::width).sum::<usize>();
    let room = width.saturating_sub(taken).max(MIN_REVISION_WIDTH);
    let mut spans = vec![
        Span::styled(label, style.bold()),
        Span::from(elide::middle(&program, room)),
    ];
    spans.extend(counted);
    cut(Line::from(spans), width)
}

/// The widths of what is said of a route.
#[derive(Clone, Copy)]
struct RouteColumns {
    id: usize,
    status: usize,
    health: usize,
    traffic: usize,
    is_narrow: bool,
}

impl RouteColumns {
    /// On a wide screen always the same; on a narrow one as much as its routes need.
    fn of(model: &WatchModel, width: usize) -> Self {
        if width >= WIDE {
            return Self {
                id: 12,
                status: 15,
                health: 11,
                traffic: 8,
                is_narrow: false,
            };
        }
        let widest = |name: fn(&Route) -> usize| {
            let shown = model.routes.iter();
            let shown = shown.filter(|it| it.status() != RouteStatus::Terminated);
            shown.map(name).max().unwrap_or_default()
        };
        Self {
            id: 6,
            status: widest(|it| enum_names::status(it.status()).len()),
            health: widest(|it| enum_names::health(it.health()).len()),
            traffic: widest(|it| traffic(it).len()),
            is_narrow: true,
        }
    }
}

/// The routes of a revision. If there are too many, those that are not ready come first.
fn route_lines(
    branch: &mut RevisionBranch<'_>,
    room: usize,
    now: Timestamp,
    columns: RouteColumns,
) -> Vec<Line<'static>> {
    let hidden = branch.routes.len().saturating_sub(room);
    if hidden > 0 {
        // `false` sorts first.
        branch.routes.sort_by_key(|it| is_ready(it));
    }
    // The last line says how many routes are hidden.
    let shown = if hidden > 0 {
        room.saturating_sub(1)
    } else {
        room
    };
    let mut lines: Vec<_> = branch
        .routes
        .iter()
        .take(shown)
        .enumerate()
        .map(|(index, route)| {
            let last = index + 1 == branch.routes.len();
            route_line(route, last, now, columns)
        })
        .collect();
    // Bounded, since there may be more room than routes.
    let rest = &branch.routes[shown.min(branch.routes.len())..];
    if !rest.is_empty() && room > 0 {
        let ready = rest.iter().filter(|it| is_ready(it)).count();
        let more = format!("└─ … {} more, {ready} of them ready", rest.len());
        lines.push(Line::from(more).dim());
    }
    lines
}

fn route_line(route: &Route, last: bool, now: Timestamp, columns: RouteColumns) -> Line<'static> {
    let status = match route.status() {
        RouteStatus::Running => Color::Green,
        RouteStatus::FailedToStart => Color::Red,
        RouteStatus::Terminating | RouteStatus::Terminated => Color::DarkGray,
        _ => Color::Yellow,
    };
    let health = match route.health() {
        RouteHealthStatus::Healthy => Color::Green,
        RouteHealthStatus::Unhealthy => Color::Red,
        RouteHealthStatus::Degraded => Color::Yellow,
        _ => Color::DarkGray,
    };
    let age = route.create_time.as_ref().map(|at| since(at, now));
    let tail = match (route.failure.as_str(), route.health_detail.as_str()) {
        ("", "") => Span::from(clean(&route.address)).dim(),
        ("", why) | (why, _) => Span::from(clean(why)).red(),
    };
    let mut spans = vec![
        Span::from(if last { "└─ " } else { "├─ " }).dim(),
        cell(short(&route.id, columns.id), columns.id),
        cell(enum_names::status(route.status()), columns.status).fg(status),
    ];
    // Where there is little room, the reason of a failure says more than the rest.
    if columns.is_narrow && !route.failure.is_empty() {
        spans.push(tail);
        return Line::from(spans);
    }
    spans.extend([
        cell(enum_names::health(route.health()), columns.health).fg(health),
        cell(&traffic(route), columns.traffic),
        Span::from(format!("{:>6}  ", age.unwrap_or_default())),
        tail,
    ]);
    Line::from(spans)
}

fn cell(text: &str, width: usize) -> Span<'static> {
    Span::from(format!("{text:<width$}  "))
}

/// The end of an id: ids of the same time differ only there.
fn short(id: &str, width: usize) -> &str {
    let end = id.rsplit_once('-').map_or(id, |(_, end)| end);
    match end.len() {
        12.. => end.get(end.len() - width..).unwrap_or(end),
        _ => id,
    }
}

/// From this width on all columns fit.
const WIDE: usize = 100;

/// Of the revision this much is always shown.
const MIN_REVISION_WIDTH: usize = 16;

fn is_ready(route: &Route) -> bool {
    route.status() == RouteStatus::Running && route.health() == RouteHealthStatus::Healthy
}
