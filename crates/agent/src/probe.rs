//! The health checks of a route: an HTTP GET that must answer 2xx.
//!
//! The rules follow Kubernetes. Until the first success the checks are a startup
//! probe: 25 ms apart at first, 250 ms at most (or the interval, if that is
//! shorter), so that a new replica is HEALTHY soon after it answers. A replica that
//! does not listen yet becomes UNHEALTHY after the interval, and not before 1 s. An
//! answer other than 2xx makes it UNHEALTHY at once.
//!
//! After the first success there is a check every interval. The third failure in a
//! row makes UNHEALTHY, and one success makes HEALTHY again. A process that has
//! ended needs no third failure: its route is TERMINATED at once.

use std::{
    convert::Infallible,
    time::{Duration, SystemTime},
};

use reqwest::StatusCode;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;
use viridian_proto::v1::{HealthCheck, RouteHealthStatus};

/// How to check one route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ProbePlan {
    path: String,
    interval: Duration,
    timeout: Duration,
    initial_delay: Duration,
}

impl From<HealthCheck> for ProbePlan {
    /// Fills in the defaults of the contract.
    fn from(check: HealthCheck) -> Self {
        let duration = |given: Option<prost_types::Duration>, default| {
            given.map_or(Some(default), |given| Duration::try_from(given).ok())
        };
        let path = check.path.trim_start_matches('/');
        Self {
            path: format!("/{path}"),
            interval: duration(check.interval, Duration::from_secs(10))
                .unwrap_or_default()
                .max(MIN_INTERVAL),
            timeout: duration(check.timeout, DEFAULT_TIMEOUT)
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(DEFAULT_TIMEOUT),
            initial_delay: duration(check.initial_delay, Duration::ZERO).unwrap_or_default(),
        }
    }
}

/// Returns the client for all checks. Each check opens a connection of its own: a
/// replica that accepts no new connections must fail.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .user_agent(concat!("viridian-agent/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// What the checks say of a replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HealthVerdict {
    pub(crate) health: RouteHealthStatus,
    /// Why, in words: `GET /nope: 404`. Empty for HEALTHY.
    pub(crate) detail: String,
    /// When the check began that says so, or says so again.
    pub(crate) at: SystemTime,
}

/// Checks the replica at this address, without end. Sends a verdict after the first
/// one, after each change, and after each check that confirms it.
pub(crate) async fn watch_health(
    client: reqwest::Client,
    address: String,
    plan: ProbePlan,
    verdicts: mpsc::Sender<HealthVerdict>,
) -> Infallible {
    sleep(plan.initial_delay).await;
    let url = format!("http://{address}{}", plan.path);
    let first = Instant::now();
    let mut state = ProbeState::new(plan.interval);
    loop {
        let (begun, at) = (Instant::now(), SystemTime::now());
        let outcome = check(&client, &url, plan.timeout).await;
        if let Some(health) = state.observe(&outcome, first.elapsed()) {
            let detail = outcome.detail(&plan);
            let verdict = HealthVerdict { health, detail, at };
            // It fails only when the route has ended, and this task is about to.
            let _ = verdicts.send(verdict).await;
        }
        sleep_until(begun + state.pause()).await;
    }
}

async fn check(client: &reqwest::Client, url: &str, timeout: Duration) -> ProbeOutcome {
    match client.get(url).timeout(timeout).send().await {
        Ok(mut answer) => {
            // The body is not needed, but a replica whose answer is not read would
            // log a broken connection at every check.
            let mut read = 0;
            while let (true, Ok(Some(chunk))) = (read < MAX_BODY_BYTES, answer.chunk().await) {
                read += chunk.len();
            }
            match answer.status().is_success() {
                true => ProbeOutcome::Success,
                false => ProbeOutcome::BadAnswer(answer.status()),
            }
        }
        Err(error) => {
            debug!(url, %error, "no answer");
            ProbeOutcome::NoAnswer(match () {
                () if error.is_timeout() => NoAnswerReason::Timeout,
                () if error.is_connect() => NoAnswerReason::NoConnection,
                () => NoAnswerReason::Broken,
            })
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProbeOutcome {
    Success,
    /// An answer other than 2xx.
    BadAnswer(StatusCode),
    NoAnswer(NoAnswerReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoAnswerReason {
    NoConnection,
    Timeout,
    /// Something that is no answer in HTTP.
    Broken,
}

impl ProbeOutcome {
    /// Why it is no success, for an operator.
    fn detail(&self, plan: &ProbePlan) -> String {
        let path = &plan.path;
        match self {
            Self::Success => String::new(),
            Self::BadAnswer(status) => format!("GET {path}: {}", status.as_u16()),
            Self::NoAnswer(NoAnswerReason::NoConnection) => {
                format!("GET {path}: no connection")
            }
            Self::NoAnswer(NoAnswerReason::Timeout) => {
                let seconds = plan.timeout.as_secs_f64();
                format!("GET {path}: no answer within {seconds} s")
            }
            Self::NoAnswer(NoAnswerReason::Broken) => format!("GET {path}: no HTTP answer"),
        }
    }
}

/// The health of a route by its checks so far. Without clock and network.
#[derive(Debug)]
struct ProbeState {
    interval: Duration,
    phase: ProbePhase,
}

#[derive(Debug)]
enum ProbePhase {
    /// No success yet.
    Starting {
        pause: Duration,
        reported: bool,
    },
    Healthy {
        failures: u32,
    },
    Unhealthy,
}

impl ProbeState {
    fn new(interval: Duration) -> Self {
        let pause = INITIAL_PAUSE.min(interval);
        Self {
            interval,
            phase: ProbePhase::Starting {
                pause,
                reported: false,
            },
        }
    }

    /// Takes the outcome of a check that ended this long after the first one began.
    /// Returns the health, if it changed or was confirmed.
    fn observe(&mut self, outcome: &ProbeOutcome, elapsed: Duration) -> Option<RouteHealthStatus> {
        let success = *outcome == ProbeOutcome::Success;
        match &mut self.phase {
            ProbePhase::Starting { .. } | ProbePhase::Unhealthy if success => {
                self.phase = ProbePhase::Healthy { failures: 0 };
                Some(RouteHealthStatus::Healthy)
            }
            ProbePhase::Starting { pause, reported } => {
                *pause = (*pause * 2).min(MAX_STARTUP_PAUSE).min(self.interval);
                let is_overdue = elapsed >= self.interval.max(MIN_STARTUP_TIME);
                let is_bad = matches!(outcome, ProbeOutcome::BadAnswer(_));
                *reported |= is_bad || is_overdue;
                reported.then_some(RouteHealthStatus::Unhealthy)
            }
            ProbePhase::Healthy { failures } if success => {
                *failures = 0;
                Some(RouteHealthStatus::Healthy)
            }
            // Until the third failure the health stays as it was last confirmed.
            ProbePhase::Healthy { failures } => {
                *failures += 1;
                (*failures == FAILURE_THRESHOLD).then(|| {
                    self.phase = ProbePhase::Unhealthy;
                    RouteHealthStatus::Unhealthy
                })
            }
            ProbePhase::Unhealthy => Some(RouteHealthStatus::Unhealthy),
        }
    }

    /// Returns the time between the beginnings of the last check and the next.
    fn pause(&self) -> Duration {
        match self.phase {
            ProbePhase::Starting { pause, .. } => pause,
            ProbePhase::Healthy { .. } | ProbePhase::Unhealthy => self.interval,
        }
    }
}

const MIN_INTERVAL: Duration = Duration::from_millis(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const INITIAL_PAUSE: Duration = Duration::from_millis(25);
const MAX_STARTUP_PAUSE: Duration = Duration::from_millis(250);
const MIN_STARTUP_TIME: Duration = Duration::from_secs(1);
const FAILURE_THRESHOLD: u32 = 3;
const MAX_BODY_BYTES: usize = 10 * 1024;

#[cfg(test)]
mod tests {
    use RouteHealthStatus::{Healthy, Unhealthy};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);
    const SUCCESS: ProbeOutcome = ProbeOutcome::Success;
    const REFUSED: ProbeOutcome = ProbeOutcome::NoAnswer(NoAnswerReason::NoConnection);
    const NOT_FOUND: ProbeOutcome = ProbeOutcome::BadAnswer(StatusCode::NOT_FOUND);

    #[test]
    fn the_defaults_are_those_of_the_contract() {
        let plan = ProbePlan::from(HealthCheck::default());
        let expected = ProbePlan {
            path: "/".into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            initial_delay: Duration::ZERO,
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn settings_are_used_within_bounds() {
        let nanos = |nanos| Some(prost_types::Duration { seconds: 0, nanos });
        let plan = ProbePlan::from(HealthCheck {
            path: "ready".into(),
            interval: nanos(1_000_000),
            timeout: nanos(0),
            initial_delay: nanos(5_000_000),
        });
        let expected = ProbePlan {
            path: "/ready".into(),
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(2),
            initial_delay: Duration::from_millis(5),
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_start_is_given_the_interval() {
        let mut state = ProbeState::new(INTERVAL);
        assert_eq!(state.observe(&REFUSED, Duration::ZERO), None);
        assert_eq!(state.observe(&REFUSED, INTERVAL / 2), None);
        assert_eq!(state.observe(&REFUSED, INTERVAL), Some(Unhealthy));
        assert_eq!(state.observe(&REFUSED, INTERVAL * 2), Some(Unhealthy));
        assert_eq!(state.observe(&SUCCESS, INTERVAL * 3), Some(Healthy));
        assert_eq!(state.observe(&SUCCESS, INTERVAL * 4), Some(Healthy));
    }

    #[test]
    fn a_bad_answer_makes_unhealthy_at_once() {
        let mut state = ProbeState::new(INTERVAL);
        assert_eq!(state.observe(&NOT_FOUND, Duration::ZERO), Some(Unhealthy));
    }

    /// Until then nothing is said: the checks that failed confirm nothing.
    #[test]
    fn the_third_failure_in_a_row_makes_unhealthy() {
        let mut state = ProbeState::new(INTERVAL);
        let mut observe = |outcome| state.observe(&outcome, INTERVAL);
        assert_eq!(observe(SUCCESS), Some(Healthy));
        assert_eq!(observe(REFUSED), None);
        assert_eq!(observe(NOT_FOUND), None);
        assert_eq!(observe(SUCCESS), Some(Healthy));
        assert_eq!(observe(REFUSED), None);
        assert_eq!(observe(REFUSED), None);
        assert_eq!(observe(NOT_FOUND), Some(Unhealthy));
        assert_eq!(observe(NOT_FOUND), Some(Unhealthy));
        assert_eq!(observe(SUCCESS), Some(Healthy));
    }

    #[test]
    fn c3_a_failed_check_says_why() {
        let plan = ProbePlan::from(HealthCheck {
            path: "/nope".into(),
            ..HealthCheck::default()
        });
        let no_answer = ProbeOutcome::NoAnswer;
        let details = [
            (SUCCESS, ""),
            (NOT_FOUND, "GET /nope: 404"),
            (REFUSED, "GET /nope: no connection"),
            (
                no_answer(NoAnswerReason::Timeout),
                "GET /nope: no answer within 2 s",
            ),
            (
                no_answer(NoAnswerReason::Broken),
                "GET /nope: no HTTP answer",
            ),
        ];
        for (outcome, detail) in details {
            assert_eq!(outcome.detail(&plan), detail);
        }
    }

    #[test]
    fn checks_are_quick_until_the_first_success() {
        let mut state = ProbeState::new(INTERVAL);
        let mut pauses = vec![state.pause()];
        for _ in 0..5 {
            state.observe(&REFUSED, Duration::ZERO);
            pauses.push(state.pause());
        }
        assert_eq!(
            pauses,
            [25, 50, 100, 200, 250, 250].map(Duration::from_millis)
        );
        state.observe(&SUCCESS, Duration::ZERO);
        assert_eq!(state.pause(), INTERVAL);

        let short = Duration::from_millis(10);
        let mut state = ProbeState::new(short);
        assert_eq!(state.pause(), short);
        state.observe(&REFUSED, Duration::ZERO);
        assert_eq!(state.pause(), short);
    }
}
