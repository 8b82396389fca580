//! At the bottom: what can be pressed, what is asked, and what came of it.

use ratatui::{
    style::Stylize as _,
    text::{Line, Span},
};

use super::super::model::{ActionNotice, InputMode, RolloutAction, RolloutVerb, WatchModel};
use crate::enum_names::qualified_name;

pub(super) fn foot(model: &WatchModel) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    match (&model.notice, &model.mode) {
        (Some(ActionNotice::Done(text)), InputMode::Watching) => {
            lines.push(Line::from(text.clone()).green());
        }
        (Some(ActionNotice::Failed(text)), InputMode::Watching) => {
            lines.extend(text.lines().map(|line| Line::from(line.to_owned()).red()));
        }
        _ => {}
    }
    lines.push(match &model.mode {
        InputMode::Watching => keys(model),
        InputMode::Asking(action) => question(model, action),
        InputMode::Acting(action) => Line::from(format!("{} …", action.verb.name())).yellow(),
    });
    lines
}

/// Those that would do something stand out.
fn keys(model: &WatchModel) -> Line<'static> {
    let pause = match model.deployment.paused {
        true => RolloutVerb::Resume,
        false => RolloutVerb::Pause,
    };
    let mut spans = Vec::new();
    for (key, verb) in [
        ("p", RolloutVerb::Promote),
        ("a", RolloutVerb::Abort),
        ("space", pause),
        ("r", RolloutVerb::RollBack),
    ] {
        let text = Span::from(format!("{key} {}   ", verb.name()));
        spans.push(match model.allows(verb) {
            true => text.bold(),
            false => text.dim(),
        });
    }
    spans.push(Span::from("↑↓ history   q leave"));
    Line::from(spans)
}

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
            "Promote {name} to revision {}? {} of {} green routes are ready, and take the \
             traffic of {}.",
            model.revisions.name(&action.revision),
            green.ready,
            model.deployment.target_replicas,
            blue.active_traffic,
        ),
        RolloutVerb::Abort => format!("Give up the rollout of {name}? Revision {current} stays."),
        RolloutVerb::Pause => format!("Pause {name}? Nothing moves then, and no clock runs."),
        RolloutVerb::Resume => format!("Resume {name}?"),
        RolloutVerb::RollBack => {
            format!("Roll {name} back, from revision {current} to the one before?")
        }
    };
    Line::from(vec![
        Span::from(text).bold(),
        Span::from(" [y/n]").bold().yellow(),
    ])
}
