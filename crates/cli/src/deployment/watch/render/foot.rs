//! The bottom of the live view: keys, the question, and the result of the last action.

use ratatui::{
    style::Stylize as _,
    text::{Line, Span},
};

use super::super::model::{ActionNotice, InputMode, RolloutAction, RolloutVerb, WatchModel};
use crate::{deployment::advance, enum_names::qualified_name};

pub(super) fn foot(model: &WatchModel, width: usize) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    match (&model.notice, &model.mode) {
        (Some(ActionNotice::Done(text)), InputMode::Watching) => {
            lines.push(Line::from(text.clone()).green());
        }
        // A refusal lists its blockers, a line for each.
        (Some(ActionNotice::Failed(text)), InputMode::Watching) => {
            lines.extend(text.lines().map(|line| Line::from(line.to_owned()).red()));
        }
        _ => {}
    }
    lines.push(match &model.mode {
        InputMode::Watching => keys(model, width),
        InputMode::Asking(action) => question(model, action),
        InputMode::Acting(action) => Line::from(format!("{} …", action.verb.name())).yellow(),
    });
    lines
}

/// The keys on one line. Those that the deployment's state allows are bold.
fn keys(model: &WatchModel, width: usize) -> Line<'static> {
    let pause = match model.deployment.paused {
        true => RolloutVerb::Resume,
        false => RolloutVerb::Pause,
    };
    let (gap, tail) = match width {
        ..WIDE => ("  ", "↑↓  q quit"),
        _ => ("   ", "↑↓ history   q quit"),
    };
    // In a rollout the way back is to abort it, so that the last key has room to spare.
    let last = match model.allows(RolloutVerb::Advance) {
        true => ("n", RolloutVerb::Advance),
        false => ("r", RolloutVerb::RollBack),
    };
    let mut spans = Vec::new();
    for (key, verb) in [
        ("p", RolloutVerb::Promote),
        ("a", RolloutVerb::Abort),
        ("space", pause),
        last,
    ] {
        let text = Span::from(format!("{key} {}{gap}", verb.name()));
        spans.push(match model.allows(verb) {
            true => text.bold(),
            false => text.dim(),
        });
    }
    spans.push(Span::from(tail));
    Line::from(spans)
}

/// From this width on there is room for the long line of keys.
const WIDE: usize = 72;

fn question(model: &WatchModel, action: &RolloutAction) -> Line<'static> {
    let name = qualified_name(&model.deployment);
    let counts = |counts: Option<viridian_proto::v1::ReplicaCounts>| counts.unwrap_or_default();
    let (blue, green) = (
        counts(model.deployment.blue),
        counts(model.deployment.green),
    );
    let current = model.revisions.name(&model.deployment.current_revision_id);
    let text = match action.verb {
        RolloutVerb::Promote => format!(
            "Promote {name} to revision {}? {} of {} green routes are ready, and take \
             over the traffic of {}.",
            model.revisions.name(&action.revision),
            green.ready,
            model.deployment.target_replicas,
            blue.active_traffic,
        ),
        RolloutVerb::Advance => advance::question(&model.deployment, false),
        RolloutVerb::Abort => {
            format!("Abort the rollout of {name}? Revision {current} keeps serving.")
        }
        RolloutVerb::Pause => format!("Pause {name}? The rollout and its deadlines stop."),
        RolloutVerb::Resume => format!("Resume {name}?"),
        RolloutVerb::RollBack => {
            format!("Roll {name} back from revision {current} to the previous one?")
        }
    };
    Line::from(vec![
        Span::from(text).bold(),
        Span::from(" [y/n]").bold().yellow(),
    ])
}
