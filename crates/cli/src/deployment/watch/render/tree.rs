//! The tree in the live view: revisions with their routes.

use jiff::Timestamp;
use ratatui::{
    style::{Color, Style, Stylize as _},
    text::{Line, Span},
};
use viridian_proto::v1::{ReplicaCounts, Route, RouteHealthStatus, RouteStatus};

use super::super::model::WatchModel;
use crate::{
    deployment::show::{RouteColour, since, traffic},
    enum_names,
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
pub(super) fn tree(model: &WatchModel, now: Timestamp, lines: usize) -> Vec<Line<'static>> {
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
        tree.push(revision_line(branch, model));
        tree.extend(route_lines(branch, share, now));
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

fn revision_line(branch: &RevisionBranch<'_>, model: &WatchModel) -> Line<'static> {
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
    let mut spans = vec![
        Span::styled(format!("● {name:<5}"), style.bold()),
        Span::from(format!(
            "  revision {}",
            model.revisions.name(branch.revision)
        )),
    ];
    if let Some(counts) = branch.counts {
        let target = model.deployment.target_replicas;
        spans.push(Span::from(format!("  {}/{target} ready", counts.ready)).bold());
        for (count, what) in [
            (counts.active_traffic, "with traffic"),
            (counts.provisioning, "starting"),
            (counts.unhealthy, "not healthy"),
            (counts.failed, "failed"),
        ] {
            if count > 0 {
                spans.push(Span::from(format!(", {count} {what}")));
            }
        }
    }
    Line::from(spans)
}

/// The routes of a revision. If there are too many, those that are not ready come first.
fn route_lines(branch: &mut RevisionBranch<'_>, room: usize, now: Timestamp) -> Vec<Line<'static>> {
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
            route_line(route, last, now)
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

fn route_line(route: &Route, last: bool, now: Timestamp) -> Line<'static> {
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
    let tail = match route.failure.as_str() {
        "" => Span::from(clean(&route.address)).dim(),
        failure => Span::from(clean(failure)).red(),
    };
    Line::from(vec![
        Span::from(if last { "└─ " } else { "├─ " }).dim(),
        Span::from(format!("{:<12}  ", short(&route.id))),
        Span::from(format!("{:<15}  ", enum_names::status(route.status()))).fg(status),
        Span::from(format!("{:<11}  ", enum_names::health(route.health()))).fg(health),
        Span::from(format!("{:<8}  ", traffic(route))),
        Span::from(format!("{:>6}  ", age.unwrap_or_default())),
        tail,
    ])
}

/// The end of an id: ids of the same time differ only there.
fn short(id: &str) -> &str {
    id.rsplit_once('-').map_or(id, |(_, end)| match end.len() {
        12.. => end,
        _ => id,
    })
}

fn is_ready(route: &Route) -> bool {
    route.status() == RouteStatus::Running && route.health() == RouteHealthStatus::Healthy
}
