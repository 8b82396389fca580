//! What there is to see live, and what keys make of it. Pure.

use jiff::{SignedDuration, Timestamp};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep, HistoryEntry, Route};

use crate::{
    deployment::{follow::Clock, show::Revisions},
    screen::Key,
};

/// What there is to see.
#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) deployment: Deployment,
    pub(super) routes: Vec<Route>,
    pub(super) revisions: Revisions,
    /// Newest first.
    pub(super) history: Vec<HistoryEntry>,
    /// How many of the newest entries are scrolled away.
    pub(super) scrolled: usize,
    pub(super) mode: Mode,
    /// What came of the last thing that was done.
    pub(super) notice: Option<Notice>,
    /// Why nothing is heard of the server.
    pub(super) lost: Option<String>,
    /// By how many seconds the server's clock is ahead of this one.
    pub(super) ahead: i64,
}

/// What keys mean at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum Mode {
    #[default]
    Watching,
    /// A question waits for its answer.
    Asking(Action),
    /// The call is under way.
    Acting(Action),
}

/// What came of something.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Notice {
    Done(String),
    Failed(String),
}

/// What someone wants done to the deployment as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) verb: Verb,
    /// The deployment's id.
    pub(super) deployment: String,
    /// Of the deployment when it was asked about.
    pub(super) generation: i64,
    /// The revision that was named in the question, if one was.
    pub(super) revision: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Promote,
    Abort,
    Pause,
    Resume,
    RollBack,
}

/// What follows from a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Effect {
    None,
    Act(Action),
    Leave,
}

impl Model {
    /// Takes a key.
    pub(super) fn press(&mut self, key: Key) -> Effect {
        match (std::mem::take(&mut self.mode), key) {
            (mode, Key::Resized) => self.mode = mode,
            (Mode::Asking(action), Key::Letter('y' | 'Y')) => {
                self.mode = Mode::Acting(action.clone());
                return Effect::Act(action);
            }
            // Anything but a yes is a no.
            (Mode::Asking(_), _) => {
                self.notice = Some(Notice::Done("nothing was changed".to_owned()));
            }
            (_, Key::Out | Key::Letter('q')) => return Effect::Leave,
            (Mode::Acting(action), _) => self.mode = Mode::Acting(action),
            (Mode::Watching, Key::Letter(letter)) => {
                if let Some(verb) = self.verb(letter) {
                    self.ask(verb);
                }
            }
            (Mode::Watching, Key::Down) => {
                let last = self.history.len().saturating_sub(1);
                self.scrolled = (self.scrolled + 1).min(last);
            }
            (Mode::Watching, Key::Up) => self.scrolled = self.scrolled.saturating_sub(1),
            (Mode::Watching, Key::Other) => {}
        }
        Effect::None
    }

    /// Takes the deployment as it is by now; one of before changes nothing.
    pub(super) fn see(&mut self, deployment: Deployment) {
        if deployment.sequence >= self.deployment.sequence {
            self.deployment = deployment;
        }
    }

    /// Takes what is known of the server's clock. What little it differs is the way
    /// here.
    pub(super) fn compare(&mut self, clock: Clock, here: Timestamp) {
        let ahead = |server: prost_types::Timestamp| server.seconds - here.as_second();
        let ahead = match clock {
            Clock::Is(server) => ahead(server),
            Clock::IsPast(server) => ahead(server).max(self.ahead),
        };
        self.ahead = if ahead.abs() > TOLERANCE { ahead } else { 0 };
    }

    /// The time by the server's clock, which all that is shown is about.
    pub(super) fn now(&self, here: Timestamp) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.ahead);
        here.checked_add(ahead).unwrap_or(here)
    }

    /// What came of the action that was under way.
    pub(super) fn acted(&mut self, notice: Notice) {
        self.mode = Mode::Watching;
        self.notice = Some(notice);
    }

    /// Whether something can be done to the deployment now, as far as can be seen.
    pub(super) fn allows(&self, verb: Verb) -> bool {
        use DeploymentLifecycle::{Deploying, Pending, Ready};
        let lifecycle = self.deployment.lifecycle();
        let rolling_back = self.deployment.sub_step() == DeploymentSubStep::RollingBack;
        match verb {
            Verb::Promote | Verb::Abort => lifecycle == Deploying && !rolling_back,
            Verb::Pause => {
                matches!(lifecycle, Pending | Ready | Deploying) && !self.deployment.paused
            }
            Verb::Resume => self.deployment.paused,
            Verb::RollBack => matches!(lifecycle, Pending | Ready),
        }
    }

    fn verb(&self, letter: char) -> Option<Verb> {
        Some(match letter {
            'p' => Verb::Promote,
            'a' => Verb::Abort,
            ' ' if self.deployment.paused => Verb::Resume,
            ' ' => Verb::Pause,
            'r' => Verb::RollBack,
            _ => return None,
        })
    }

    fn ask(&mut self, verb: Verb) {
        if !self.allows(verb) {
            let why = format!("nothing to {} now", verb.name());
            self.notice = Some(Notice::Failed(why));
            return;
        }
        self.notice = None;
        self.mode = Mode::Asking(Action {
            verb,
            deployment: self.deployment.id.clone(),
            generation: self.deployment.generation,
            revision: match verb {
                Verb::Promote => self.deployment.deploying_revision_id.clone(),
                _ => String::new(),
            },
        });
    }
}

impl Verb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RollBack => "roll back",
        }
    }
}

/// So many seconds are no difference.
const TOLERANCE: i64 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::deployment::show::fixture;

    pub(in crate::deployment::watch) fn at_the_gate() -> Model {
        Model {
            deployment: fixture::at_the_gate(),
            routes: fixture::routes(),
            revisions: Revisions::new(&fixture::revisions()),
            history: fixture::history(),
            ..Model::default()
        }
    }

    #[test]
    fn nothing_is_done_without_a_yes() {
        for no in [Key::Letter('n'), Key::Out, Key::Other, Key::Letter('q')] {
            let mut model = at_the_gate();
            assert_eq!(model.press(Key::Letter('p')), Effect::None);
            assert!(matches!(model.mode, Mode::Asking(_)));
            assert_eq!(model.press(no), Effect::None, "{no:?}");
            assert_eq!(model.mode, Mode::Watching);
        }
    }

    #[test]
    fn a_yes_is_to_what_was_asked() {
        let mut model = at_the_gate();
        model.press(Key::Letter('p'));
        // Between the question and the answer.
        model.deployment.deploying_revision_id = "rev-3".to_owned();
        model.deployment.generation = 9;
        let Effect::Act(action) = model.press(Key::Letter('y')) else {
            panic!("nothing is done");
        };
        assert_eq!((action.revision.as_str(), action.generation), ("rev-2", 2));
        assert_eq!(model.press(Key::Letter('a')), Effect::None, "one at a time");
        model.acted(Notice::Done("promoted".to_owned()));
        assert_eq!(model.mode, Mode::Watching);
    }

    /// An hour apart, an age is the same.
    #[test]
    fn ages_are_by_the_clock_of_the_server() {
        let here = fixture::now();
        let mut model = at_the_gate();
        let is = |at| Clock::Is(fixture::at(at).expect("a moment"));
        let is_past = |at| Clock::IsPast(fixture::at(at).expect("a moment"));
        for (clock, now) in [
            (is(301), 300),
            // One that was changed long ago says nothing.
            (is_past(100), 300),
            (is_past(3_900), 3_900),
            (is_past(3_800), 3_900),
            (is(-3_300), -3_300),
            (is(299), 300),
        ] {
            model.compare(clock, here);
            let moved = model.now(here).as_second() - here.as_second();
            assert_eq!(moved, now - 300, "{clock:?}");
        }
    }

    #[test]
    fn what_was_before_changes_nothing() {
        let mut model = at_the_gate();
        for (sequence, seen) in [(7, 7), (6, 7), (8, 8)] {
            let mut deployment = fixture::at_the_gate();
            deployment.sequence = sequence;
            model.see(deployment);
            assert_eq!(model.deployment.sequence, seen);
        }
    }

    #[test]
    fn only_what_can_be_is_asked_about() {
        let mut model = at_the_gate();
        model.deployment.set_lifecycle(DeploymentLifecycle::Ready);
        model
            .deployment
            .set_sub_step(DeploymentSubStep::Unspecified);
        for (letter, asks) in [
            ('p', false),
            ('a', false),
            ('r', true),
            (' ', true),
            ('x', false),
        ] {
            let mut model = model.clone();
            model.press(Key::Letter(letter));
            assert_eq!(matches!(model.mode, Mode::Asking(_)), asks, "{letter}");
        }
        model.deployment.paused = true;
        model.press(Key::Letter(' '));
        let Mode::Asking(action) = &model.mode else {
            panic!("it does not ask");
        };
        assert_eq!(action.verb, Verb::Resume);
    }

    #[test]
    fn the_history_can_be_scrolled_to_its_end() {
        let mut model = at_the_gate();
        model.press(Key::Up);
        for _ in 0..10 {
            model.press(Key::Down);
        }
        assert_eq!(model.scrolled, 3);
        assert_eq!(model.press(Key::Letter('q')), Effect::Leave);
    }
}
