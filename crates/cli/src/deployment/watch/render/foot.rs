//! At the bottom: what can be pressed, what is asked, and what came of it.

use ratatui::{
    style::Stylize as _,
    text::{Line, Span},
};

use super::super::model::{Action, Mode, Model, Notice, Verb};
use crate::deployment::show::qualified_name;

pub(super) fn foot(model: &Model) -> Vec<Line<'static>> {
    let mut lines = Vec::new();
    match (&model.notice, &model.mode) {
        (Some(Notice::Done(text)), Mode::Watching) => {
            lines.push(Line::from(text.clone()).green());
        }
        (Some(Notice::Failed(text)), Mode::Watching) => {
            lines.extend(text.lines().map(|line| Line::from(line.to_owned()).red()));
        }
        _ => {}
    }
    lines.push(match &model.mode {
        Mode::Watching => keys(model),
        Mode::Asking(action) => question(model, action),
        Mode::Acting(action) => Line::from(format!("{} …", action.verb.name())).yellow(),
    });
    lines
}

/// Those that would do something stand out.
fn keys(model: &Model) -> Line<'static> {
    let pause = match model.deployment.paused {
        true => Verb::Resume,
        false => Verb::Pause,
    };
    let mut spans = Vec::new();
    for (key, verb) in [
        ("p", Verb::Promote),
        ("a", Verb::Abort),
        ("space", pause),
        ("r", Verb::RollBack),
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

fn question(model: &Model, action: &Action) -> Line<'static> {
    let name = qualified_name(&model.deployment);
    let counts = |counts: Option<viridian_proto::v1::ReplicaCounts>| counts.unwrap_or_default();
    let (blue, green) = (
        counts(model.deployment.blue),
        counts(model.deployment.green),
    );
    let current = model.revisions.name(&model.deployment.current_revision_id);
    let text = match action.verb {
        Verb::Promote => format!(
            "Promote {name} to revision {}? {} of {} green routes are ready, and take the \
             traffic of {}.",
            model.revisions.name(&action.revision),
            green.ready,
            model.deployment.target_replicas,
            blue.active_traffic,
        ),
        Verb::Abort => format!("Give up the rollout of {name}? Revision {current} stays."),
        Verb::Pause => format!("Pause {name}? Nothing moves then, and no clock runs."),
        Verb::Resume => format!("Resume {name}?"),
        Verb::RollBack => {
            format!("Roll {name} back, from revision {current} to the one before?")
        }
    };
    Line::from(vec![
        Span::from(text).bold(),
        Span::from(" [y/n]").bold().yellow(),
    ])
}
