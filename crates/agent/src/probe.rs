//! The health checks of a route: an HTTP GET that must answer 2xx.
//!
//! The judgement follows Kubernetes. Until the first success the checks are a
//! startup probe: they come quickly, at first 25 ms apart and at most 250 ms
//! (or the interval, if it is shorter), so that a new replica is HEALTHY soon
//! after it answers, and a replica that does not listen yet is not called
//! UNHEALTHY before it had the interval, or 1 s if that is longer, to do so. An
//! answer other than 2xx is a verdict at once. After the first success a check
//! is made every interval, the third failure in a row makes UNHEALTHY, and one
//! success makes HEALTHY again. A process that ended needs no third failure: it
//! is TERMINATED at once.

use std::{convert::Infallible, time::Duration};

use tokio::{
    sync::mpsc,
    time::{Instant, sleep, sleep_until},
};
use tracing::debug;
use viridian_proto::v1::{HealthCheck, RouteHealthStatus};

/// How one route is checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Plan {
    path: String,
    interval: Duration,
    timeout: Duration,
    initial_delay: Duration,
}

impl From<HealthCheck> for Plan {
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
                .max(SHORTEST_INTERVAL),
            timeout: duration(check.timeout, DEFAULT_TIMEOUT)
                .filter(|timeout| !timeout.is_zero())
                .unwrap_or(DEFAULT_TIMEOUT),
            initial_delay: duration(check.initial_delay, Duration::ZERO).unwrap_or_default(),
        }
    }
}

/// The client of all checks. A connection serves one check: what is tested is
/// whether the replica takes new ones.
pub(crate) fn client() -> reqwest::Result<reqwest::Client> {
    reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .pool_max_idle_per_host(0)
        .user_agent(concat!("viridian-agent/", env!("CARGO_PKG_VERSION")))
        .build()
}

/// Checks the replica at this address for ever. Sends its health at the first
/// verdict and whenever it changes.
pub(crate) async fn watch_health(
    client: reqwest::Client,
    address: String,
    plan: Plan,
    verdicts: mpsc::Sender<RouteHealthStatus>,
) -> Infallible {
    sleep(plan.initial_delay).await;
    let url = format!("http://{address}{}", plan.path);
    let first = Instant::now();
    let mut judge = Judge::new(plan.interval);
    loop {
        let begun = Instant::now();
        let outcome = check(&client, &url, plan.timeout).await;
        if let Some(health) = judge.judge(outcome, first.elapsed()) {
            // Fails only when the route has ended, and this is about to.
            let _ = verdicts.send(health).await;
        }
        sleep_until(begun + judge.pause()).await;
    }
}

async fn check(client: &reqwest::Client, url: &str, timeout: Duration) -> Outcome {
    match client.get(url).timeout(timeout).send().await {
        Ok(mut answer) => {
            // What is read is thrown away, but a server whose answer is not
            // read would see a broken connection.
            let mut read = 0;
            while let (true, Ok(Some(chunk))) = (read < LONGEST_BODY, answer.chunk().await) {
                read += chunk.len();
            }
            match answer.status().is_success() {
                true => Outcome::Success,
                false => Outcome::BadAnswer,
            }
        }
        Err(error) => {
            debug!(url, %error, "no answer");
            Outcome::NoAnswer
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Outcome {
    Success,
    /// An answer other than 2xx.
    BadAnswer,
    /// No connection, or no answer in time.
    NoAnswer,
}

/// The judgement, apart from clock and network.
#[derive(Debug)]
struct Judge {
    interval: Duration,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
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

impl Judge {
    fn new(interval: Duration) -> Self {
        let pause = FIRST_PAUSE.min(interval);
        Self {
            interval,
            phase: Phase::Starting {
                pause,
                reported: false,
            },
        }
    }

    /// What changed with the outcome of a check, made this long after the first
    /// one began.
    fn judge(&mut self, outcome: Outcome, elapsed: Duration) -> Option<RouteHealthStatus> {
        let success = outcome == Outcome::Success;
        match &mut self.phase {
            Phase::Starting { .. } | Phase::Unhealthy if success => {
                self.phase = Phase::Healthy { failures: 0 };
                Some(RouteHealthStatus::Healthy)
            }
            Phase::Starting { pause, reported } => {
                *pause = (*pause * 2).min(LAST_PAUSE).min(self.interval);
                let had_its_time = elapsed >= self.interval.max(SHORTEST_START);
                let unhealthy = !*reported && (outcome == Outcome::BadAnswer || had_its_time);
                *reported |= unhealthy;
                unhealthy.then_some(RouteHealthStatus::Unhealthy)
            }
            Phase::Healthy { failures } => {
                *failures = if success { 0 } else { *failures + 1 };
                (*failures == FAILURE_THRESHOLD).then(|| {
                    self.phase = Phase::Unhealthy;
                    RouteHealthStatus::Unhealthy
                })
            }
            Phase::Unhealthy => None,
        }
    }

    /// The time from the check that was judged last to the next one.
    fn pause(&self) -> Duration {
        match self.phase {
            Phase::Starting { pause, .. } => pause,
            Phase::Healthy { .. } | Phase::Unhealthy => self.interval,
        }
    }
}

const SHORTEST_INTERVAL: Duration = Duration::from_millis(10);
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(25);
const LAST_PAUSE: Duration = Duration::from_millis(250);
const SHORTEST_START: Duration = Duration::from_secs(1);
const FAILURE_THRESHOLD: u32 = 3;
const LONGEST_BODY: usize = 10 * 1024;

#[cfg(test)]
mod tests {
    use RouteHealthStatus::{Healthy, Unhealthy};

    use super::*;

    const INTERVAL: Duration = Duration::from_secs(10);

    #[test]
    fn defaults_are_those_of_the_contract() {
        let plan = Plan::from(HealthCheck::default());
        let expected = Plan {
            path: "/".into(),
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            initial_delay: Duration::ZERO,
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn what_is_given_counts_within_bounds() {
        let nanos = |nanos| Some(prost_types::Duration { seconds: 0, nanos });
        let plan = Plan::from(HealthCheck {
            path: "ready".into(),
            interval: nanos(1_000_000),
            timeout: nanos(0),
            initial_delay: nanos(5_000_000),
        });
        let expected = Plan {
            path: "/ready".into(),
            interval: Duration::from_millis(10),
            timeout: Duration::from_secs(2),
            initial_delay: Duration::from_millis(5),
        };
        assert_eq!(plan, expected);
    }

    #[test]
    fn a_start_takes_its_time() {
        let mut judge = Judge::new(INTERVAL);
        assert_eq!(judge.judge(Outcome::NoAnswer, Duration::ZERO), None);
        assert_eq!(judge.judge(Outcome::NoAnswer, INTERVAL / 2), None);
        assert_eq!(judge.judge(Outcome::NoAnswer, INTERVAL), Some(Unhealthy));
        assert_eq!(judge.judge(Outcome::NoAnswer, INTERVAL * 2), None);
        assert_eq!(judge.judge(Outcome::Success, INTERVAL * 3), Some(Healthy));
        assert_eq!(judge.judge(Outcome::Success, INTERVAL * 4), None);
    }

    #[test]
    fn a_bad_answer_is_a_verdict_at_once() {
        let mut judge = Judge::new(INTERVAL);
        let outcome = judge.judge(Outcome::BadAnswer, Duration::ZERO);
        assert_eq!(outcome, Some(Unhealthy));
    }

    #[test]
    fn the_third_failure_in_a_row_counts() {
        let mut judge = Judge::new(INTERVAL);
        let mut judge = |outcome| judge.judge(outcome, INTERVAL);
        assert_eq!(judge(Outcome::Success), Some(Healthy));
        assert_eq!(judge(Outcome::NoAnswer), None);
        assert_eq!(judge(Outcome::BadAnswer), None);
        assert_eq!(judge(Outcome::Success), None);
        assert_eq!(judge(Outcome::NoAnswer), None);
        assert_eq!(judge(Outcome::NoAnswer), None);
        assert_eq!(judge(Outcome::BadAnswer), Some(Unhealthy));
        assert_eq!(judge(Outcome::BadAnswer), None);
        assert_eq!(judge(Outcome::Success), Some(Healthy));
    }

    #[test]
    fn checks_are_quick_until_the_first_success() {
        let mut judge = Judge::new(INTERVAL);
        let mut pauses = vec![judge.pause()];
        for _ in 0..5 {
            judge.judge(Outcome::NoAnswer, Duration::ZERO);
            pauses.push(judge.pause());
        }
        assert_eq!(
            pauses,
            [25, 50, 100, 200, 250, 250].map(Duration::from_millis)
        );
        judge.judge(Outcome::Success, Duration::ZERO);
        assert_eq!(judge.pause(), INTERVAL);

        let short = Duration::from_millis(10);
        let mut judge = Judge::new(short);
        assert_eq!(judge.pause(), short);
        judge.judge(Outcome::NoAnswer, Duration::ZERO);
        assert_eq!(judge.pause(), short);
    }
}
