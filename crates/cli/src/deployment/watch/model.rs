//! The state of the live view, and what keys do to it. No I/O.

use jiff::{SignedDuration, Timestamp};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, DeploymentSubStep, HistoryEntry, Route};

use crate::{deployment::show::RevisionNames, screen::KeyPress};

/// The state of the live view.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchModel {
    pub(super) deployment: Deployment,
    pub(super) routes: Vec<Route>,
    pub(super) revisions: RevisionNames,
    /// Newest first.
    pub(super) history: Vec<HistoryEntry>,
    /// Entries of the history that are scrolled off the top.
    pub(super) scrolled: usize,
    pub(super) mode: InputMode,
    /// The result of the last action.
    pub(super) notice: Option<ActionNotice>,
    /// Why the connection is lost. None while it is up.
    pub(super) connection_error: Option<String>,
    /// Seconds by which the server's clock is ahead of this machine's.
    pub(super) clock_offset: i64,
}

/// What is known of the server's clock.
#[derive(Debug, Clone, Copy)]
pub(super) enum ServerClock {
    /// It shows this time.
    Is(prost_types::Timestamp),
    /// It shows this time or a later one: the message may be old.
    IsPast(prost_types::Timestamp),
}

/// What a key means at the moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) enum InputMode {
    #[default]
    Watching,
    /// A question is shown; the next key answers it.
    Asking(RolloutAction),
    /// The call is running.
    Acting(RolloutAction),
}

/// The result of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ActionNotice {
    Done(String),
    Failed(String),
}

/// An action on the deployment as it was shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct RolloutAction {
    pub(super) verb: RolloutVerb,
    /// The deployment's id.
    pub(super) deployment: String,
    /// The generation of the deployment when the question was asked.
    pub(super) generation: i64,
    /// The revision that the question named; empty if none.
    pub(super) revision: String,
    /// The step of a canary that the question named.
    pub(super) step: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RolloutVerb {
    Promote,
    Advance,
    Abort,
    Pause,
    Resume,
    RollBack,
}

/// What the event loop has to do after a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum KeyEffect {
    None,
    Act(RolloutAction),
    Quit,
}

impl WatchModel {
    /// Handles a key.
    pub(super) fn press(&mut self, key: KeyPress) -> KeyEffect {
        // Taken out: an arm that keeps the mode puts it back, all others end in Watching.
        match (std::mem::take(&mut self.mode), key) {
            // A new size of the terminal is no answer to a question.
            (mode, KeyPress::Resized) => self.mode = mode,
            (InputMode::Asking(action), KeyPress::Letter('y' | 'Y')) => {
                self.mode = InputMode::Acting(action.clone());
                return KeyEffect::Act(action);
            }
            // Anything but y declines, also q: it must not quit without an answer.
            (InputMode::Asking(_), _) => {
                self.notice = Some(ActionNotice::Done("nothing was changed".to_owned()));
            }
            (_, KeyPress::Cancel | KeyPress::Letter('q')) => return KeyEffect::Quit,
            (InputMode::Acting(action), _) => self.mode = InputMode::Acting(action),
            (InputMode::Watching, KeyPress::Letter(letter)) => {
                if let Some(verb) = self.verb(letter) {
                    self.ask(verb);
                }
            }
            (InputMode::Watching, KeyPress::Down) => {
                let last = self.history.len().saturating_sub(1);
                self.scrolled = (self.scrolled + 1).min(last);
            }
            (InputMode::Watching, KeyPress::Up) => self.scrolled = self.scrolled.saturating_sub(1),
            (InputMode::Watching, KeyPress::Other) => {}
        }
        KeyEffect::None
    }

    /// Replaces the deployment, unless the new one is older: replies of calls and events
    /// can arrive out of order.
    pub(super) fn update(&mut self, deployment: Deployment) {
        if deployment.sequence >= self.deployment.sequence {
            self.deployment = deployment;
        }
    }

    /// Compares the server's clock with this machine's. A small difference is the delay of
    /// the network.
    pub(super) fn sync_clock(&mut self, clock: ServerClock, here: Timestamp) {
        let ahead = |server: prost_types::Timestamp| server.seconds - here.as_second();
        let ahead = match clock {
            ServerClock::Is(server) => ahead(server),
            // An old message must not turn the clock back.
            ServerClock::IsPast(server) => ahead(server).max(self.clock_offset),
        };
        self.clock_offset = if ahead.abs() > MAX_NETWORK_DELAY {
            ahead
        } else {
            0
        };
    }

    /// The time of the server's clock, which all timestamps refer to.
    pub(super) fn now(&self, here: Timestamp) -> Timestamp {
        let ahead = SignedDuration::from_secs(self.clock_offset);
        // Out of range only by an absurd clock of the server. Then this machine's counts.
        here.checked_add(ahead).unwrap_or(here)
    }

    /// Ends the running action, and shows its result.
    pub(super) fn finish_action(&mut self, notice: ActionNotice) {
        self.mode = InputMode::Watching;
        self.notice = Some(notice);
    }

    /// Whether the deployment's state allows an action. The server decides in the end.
    pub(super) fn allows(&self, verb: RolloutVerb) -> bool {
        use DeploymentLifecycle::{Deploying, Pending, Ready};
        let lifecycle = self.deployment.lifecycle();
        let rolling_back = self.deployment.sub_step() == DeploymentSubStep::RollingBack;
        match verb {
            RolloutVerb::Promote | RolloutVerb::Abort => lifecycle == Deploying && !rolling_back,
            RolloutVerb::Advance => {
                self.deployment.sub_step() == DeploymentSubStep::Shifting && !self.deployment.paused
            }
            RolloutVerb::Pause => {
                matches!(lifecycle, Pending | Ready | Deploying) && !self.deployment.paused
            }
            RolloutVerb::Resume => self.deployment.paused,
            // In a rollout the way back is to give it up.
            RolloutVerb::RollBack => {
                matches!(lifecycle, Pending | Ready) || self.allows(RolloutVerb::Abort)
            }
        }
    }

    fn verb(&self, letter: char) -> Option<RolloutVerb> {
        Some(match letter {
            'p' => RolloutVerb::Promote,
            'a' => RolloutVerb::Abort,
            'n' => RolloutVerb::Advance,
            ' ' if self.deployment.paused => RolloutVerb::Resume,
            ' ' => RolloutVerb::Pause,
            'r' if self.allows(RolloutVerb::Abort) => RolloutVerb::Abort,
            'r' => RolloutVerb::RollBack,
            _ => return None,
        })
    }

    fn ask(&mut self, verb: RolloutVerb) {
        if !self.allows(verb) {
            let why = format!("nothing to {} now", verb.name());
            self.notice = Some(ActionNotice::Failed(why));
            return;
        }
        self.notice = None;
        self.mode = InputMode::Asking(RolloutAction {
            verb,
            deployment: self.deployment.id.clone(),
            generation: self.deployment.generation,
            revision: match verb {
                RolloutVerb::Promote | RolloutVerb::Advance | RolloutVerb::Abort => {
                    self.deployment.deploying_revision_id.clone()
                }
                RolloutVerb::RollBack => self.deployment.current_revision_id.clone(),
                RolloutVerb::Pause | RolloutVerb::Resume => String::new(),
            },
            step: self.deployment.step,
        });
    }
}

impl RolloutVerb {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Promote => "promote",
            Self::Advance => "advance",
            Self::Abort => "abort",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::RollBack => "roll back",
        }
    }
}

/// In seconds. A larger difference is one of the clocks.
const MAX_NETWORK_DELAY: i64 = 2;

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::deployment::show::fixture;

    pub(in crate::deployment::watch) fn at_the_gate() -> WatchModel {
        WatchModel {
            deployment: fixture::at_the_gate(),
            routes: fixture::routes(),
            revisions: RevisionNames::new(&fixture::revisions()),
            history: fixture::history(),
            ..WatchModel::default()
        }
    }

    #[test]
    fn only_a_yes_starts_an_action() {
        for no in [
            KeyPress::Letter('n'),
            KeyPress::Cancel,
            KeyPress::Other,
            KeyPress::Letter('q'),
        ] {
            let mut model = at_the_gate();
            assert_eq!(model.press(KeyPress::Letter('p')), KeyEffect::None);
            assert!(matches!(model.mode, InputMode::Asking(_)));
            assert_eq!(model.press(no), KeyEffect::None, "{no:?}");
            assert_eq!(model.mode, InputMode::Watching);
        }
    }

    #[test]
    fn a_yes_is_for_the_revision_in_the_question() {
        let mut model = at_the_gate();
        model.press(KeyPress::Letter('p'));
        // Another revision arrives between the question and the answer.
        model.deployment.deploying_revision_id = "rev-3".to_owned();
        model.deployment.generation = 9;
        let KeyEffect::Act(action) = model.press(KeyPress::Letter('y')) else {
            panic!("nothing is done");
        };
        assert_eq!((action.revision.as_str(), action.generation), ("rev-2", 2));
        assert_eq!(
            model.press(KeyPress::Letter('a')),
            KeyEffect::None,
            "one at a time"
        );
        model.finish_action(ActionNotice::Done("promoted".to_owned()));
        assert_eq!(model.mode, InputMode::Watching);
    }

    #[test]
    fn ages_use_the_clock_of_the_server() {
        let here = fixture::now();
        let mut model = at_the_gate();
        let is = |at| ServerClock::Is(fixture::at(at).expect("a moment"));
        let is_past = |at| ServerClock::IsPast(fixture::at(at).expect("a moment"));
        for (clock, now) in [
            (is(301), 300),
            // A deployment that changed long ago says nothing about the clock.
            (is_past(100), 300),
            (is_past(3_900), 3_900),
            (is_past(3_800), 3_900),
            (is(-3_300), -3_300),
            (is(299), 300),
        ] {
            model.sync_clock(clock, here);
            let moved = model.now(here).as_second() - here.as_second();
            assert_eq!(moved, now - 300, "{clock:?}");
        }
    }

    #[test]
    fn b6_the_key_to_roll_back_gives_a_rollout_up() {
        let mut model = at_the_gate();
        model.press(KeyPress::Letter('r'));
        let InputMode::Asking(action) = &model.mode else {
            panic!("it does not ask");
        };
        assert_eq!(action.verb, RolloutVerb::Abort);
        assert_eq!(action.revision, "rev-2", "what is on the screen");
    }

    #[test]
    fn the_key_to_advance_is_for_the_step_in_the_question() {
        let mut model = at_the_gate();
        assert_eq!(model.press(KeyPress::Letter('n')), KeyEffect::None);
        let refusal = ActionNotice::Failed("nothing to advance now".to_owned());
        assert_eq!(model.notice, Some(refusal), "there is no step");
        model.deployment = fixture::manual_step();
        model.press(KeyPress::Letter('n'));
        // The step ends between the question and the answer.
        model.deployment.step = 3;
        let KeyEffect::Act(action) = model.press(KeyPress::Letter('y')) else {
            panic!("nothing is done");
        };
        assert_eq!((action.verb, action.step), (RolloutVerb::Advance, 2));
        assert_eq!(action.revision, "rev-2");
    }

    #[test]
    fn b2_the_key_to_roll_back_acts_on_what_is_seen() {
        let mut model = at_the_gate();
        model.deployment.set_lifecycle(DeploymentLifecycle::Ready);
        model
            .deployment
            .set_sub_step(DeploymentSubStep::Unspecified);
        model.press(KeyPress::Letter('r'));
        let InputMode::Asking(action) = &model.mode else {
            panic!("it does not ask");
        };
        assert_eq!(
            (action.verb, action.revision.as_str()),
            (RolloutVerb::RollBack, "rev-1")
        );
    }

    #[test]
    fn an_older_deployment_changes_nothing() {
        let mut model = at_the_gate();
        for (sequence, seen) in [(7, 7), (6, 7), (8, 8)] {
            let mut deployment = fixture::at_the_gate();
            deployment.sequence = sequence;
            model.update(deployment);
            assert_eq!(model.deployment.sequence, seen);
        }
    }

    #[test]
    fn only_possible_actions_are_asked_about() {
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
            model.press(KeyPress::Letter(letter));
            assert_eq!(matches!(model.mode, InputMode::Asking(_)), asks, "{letter}");
        }
        model.deployment.paused = true;
        model.press(KeyPress::Letter(' '));
        let InputMode::Asking(action) = &model.mode else {
            panic!("it does not ask");
        };
        assert_eq!(action.verb, RolloutVerb::Resume);
    }

    #[test]
    fn the_history_can_be_scrolled_to_its_end() {
        let mut model = at_the_gate();
        model.press(KeyPress::Up);
        for _ in 0..10 {
            model.press(KeyPress::Down);
        }
        assert_eq!(model.scrolled, 3);
        assert_eq!(model.press(KeyPress::Letter('q')), KeyEffect::Quit);
    }
}
