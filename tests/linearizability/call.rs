//! A call as the history has it: what was asked, and what was answered.

use tonic::{Code, Status};
use tonic_types::StatusExt as _;
use viridian_proto::v1::{Deployment, DeploymentLifecycle};

/// A call about the deployment of one name.
#[derive(Clone, Debug)]
pub(super) struct DeploymentCall {
    /// Whose it is, for someone who reads a violation.
    #[expect(dead_code, reason = "shown with a violation")]
    pub(super) client: usize,
    /// The same number in two calls stands for the same `request_id`. Zero for none.
    pub(super) request: u32,
    pub(super) operation: Operation,
    pub(super) expected_generation: Option<i64>,
    pub(super) answer: Answer,
}

/// What was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    Create {
        target: i32,
        mark: u64,
    },
    Get,
    /// `mark` is the value of a label, another one in each call.
    Update {
        target: Option<i32>,
        mark: u64,
    },
    /// Creates a revision and activates it.
    Deploy {
        supersede: bool,
    },
    /// Activates a revision by its number.
    Activate {
        revision: i64,
        supersede: bool,
    },
    Promote {
        expected: Option<i64>,
    },
    Abort {
        expected: Option<i64>,
    },
    RollBack {
        expected: Option<i64>,
        gated: bool,
    },
    Pause,
    Resume,
    Delete,
}

/// What was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It was done, or read, and this is the deployment after it.
    Done(Shown),
    /// A roll-back was done: at once or not.
    RolledBack { instant: bool, shown: Shown },
    /// Refused by a rule, for this reason.
    Refused(String),
    /// No answer, or one that leaves it open.
    Unknown,
}

impl Answer {
    pub(super) fn shown(&self) -> Option<&Shown> {
        match self {
            Self::Done(shown) | Self::RolledBack { shown, .. } => Some(shown),
            Self::Refused(_) | Self::Unknown => None,
        }
    }
}

/// What an answer shows of a deployment.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Shown {
    pub(super) id: String,
    pub(super) generation: i64,
    pub(super) sequence: i64,
    pub(super) lifecycle: DeploymentLifecycle,
    pub(super) current: i64,
    /// Zero for none.
    pub(super) deploying: i64,
    pub(super) target: i32,
    pub(super) mark: u64,
    pub(super) paused: bool,
}

impl Shown {
    pub(super) fn of(deployment: &Deployment) -> Self {
        let mark = deployment.labels.get(MARK).expect("each has one");
        Self {
            id: deployment.id.clone(),
            generation: deployment.generation,
            sequence: deployment.sequence,
            lifecycle: deployment.lifecycle(),
            current: deployment.current_revision_number,
            deploying: deployment.deploying_revision_number,
            target: deployment.target_replicas,
            mark: mark.parse().expect("a number"),
            paused: deployment.paused,
        }
    }
}

/// What a refusal says of the call.
pub(super) enum Refusal {
    /// A rule refused it, so it tells something about the state.
    ByRule(String),
    /// It was not done, for a reason that is not the deployment's.
    NotDone,
    /// It may have been done.
    Open,
}

impl Refusal {
    /// # Panics
    ///
    /// For a refusal that no fault of a run explains.
    pub(super) fn of(status: &Status) -> Self {
        let details = status.get_error_details();
        let Some(info) = details.error_info() else {
            // It is not of a server: the connection broke, or nothing was heard in time.
            return Self::Open;
        };
        match (status.code(), info.reason.as_str()) {
            // These promise that nothing was done, and are held to it.
            (_, "DEPLOYMENT_HELD" | "TOO_MANY_REQUESTS" | "DATABASE_READ_ONLY") => Self::NotDone,
            (Code::Unavailable | Code::DeadlineExceeded | Code::ResourceExhausted, _) => Self::Open,
            (Code::Internal | Code::InvalidArgument | Code::Unknown, _) => {
                panic!("no fault explains this: {status:?}")
            }
            (_, reason) => Self::ByRule(reason.to_owned()),
        }
    }
}

/// The label that each update changes.
pub(super) const MARK: &str = "mark";
