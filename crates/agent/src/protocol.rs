//! The protocol from a supervisor to the agent: a JSON object a line on the
//! supervisor's standard output. First comes `started` or `failed`. After `started`
//! comes `exited` or `signaled`, once all processes of the route have ended.

use nix::sys::signal::Signal;
use serde::{Deserialize, Serialize};

/// One line of the protocol.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub(crate) enum SupervisorEvent {
    /// The command runs, with this process id.
    Started { pid: i32 },
    /// The command could not be started.
    Failed { reason: String },
    /// The command exited with this status.
    Exited { code: i32 },
    /// The command was killed by this signal.
    Signaled { signal: i32 },
}

/// How a route's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ProcessEnd {
    Exited {
        code: i32,
    },
    Signaled {
        signal: i32,
    },
    /// Its supervisor was killed; the agent killed the processes of the route.
    SupervisorLost,
}

impl std::fmt::Display for ProcessEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match *self {
            Self::Exited { code } => write!(f, "exited with status {code}"),
            Self::Signaled { signal } => match Signal::try_from(signal) {
                Ok(name) => write!(f, "killed by signal {signal} ({name})"),
                Err(_) => write!(f, "killed by signal {signal}"),
            },
            Self::SupervisorLost => write!(f, "killed because its supervisor died"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_one_line_of_json() {
        let events = [
            (
                SupervisorEvent::Started { pid: 7 },
                r#"{"event":"started","pid":7}"#,
            ),
            (
                SupervisorEvent::Failed {
                    reason: "two\nlines".into(),
                },
                r#"{"event":"failed","reason":"two\nlines"}"#,
            ),
            (
                SupervisorEvent::Exited { code: 3 },
                r#"{"event":"exited","code":3}"#,
            ),
            (
                SupervisorEvent::Signaled { signal: 9 },
                r#"{"event":"signaled","signal":9}"#,
            ),
        ];
        for (event, line) in events {
            assert_eq!(serde_json::to_string(&event).expect("an event"), line);
            assert_eq!(
                serde_json::from_str::<SupervisorEvent>(line).expect("its line"),
                event
            );
        }
        assert!(serde_json::from_str::<SupervisorEvent>(r#"{"event":"danced"}"#).is_err());
    }

    #[test]
    fn an_ending_is_a_sentence() {
        let sentences = [
            (ProcessEnd::Exited { code: 3 }, "exited with status 3"),
            (
                ProcessEnd::Signaled { signal: 9 },
                "killed by signal 9 (SIGKILL)",
            ),
            (ProcessEnd::Signaled { signal: 40 }, "killed by signal 40"),
        ];
        for (ending, sentence) in sentences {
            assert_eq!(ending.to_string(), sentence);
        }
    }
}
