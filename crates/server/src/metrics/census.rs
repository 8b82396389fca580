//! The gauges of deployments and routes, from a count of all of them.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use metrics::{Label, gauge};
use viridian_store::{Census, RouteStateCounts, StateCounts, labels_projects, project_labels};
use viridian_strategy::{
    Availability, Lifecycle, RouteHealth, RouteStatus, RouteTraffic, SubStep, Timestamp,
};

use super::{BACKING_OFF, DEPLOYMENTS, FIRST_FAILED, OLDEST, OVERDUE, ROUTES, SHORT_CANARIES};

/// A series: the name of a metric, and its labels.
type Series = (&'static str, Vec<Label>);

/// The gauges that were shown once. A series cannot be taken back: one that counts nothing
/// any more is 0.
#[derive(Default)]
pub(super) struct CensusGauges {
    shown: HashSet<Series>,
}

impl CensusGauges {
    /// Sets the gauges of all states.
    pub(super) fn show(&mut self, census: &Census) {
        if self.shown.is_empty() && !labels_projects() {
            // Without projects all are known from the start, and an alert sees them begin at 0.
            self.shown.extend(every_state());
        }
        let values = values(census);
        self.shown.extend(values.keys().cloned());
        for series in &self.shown {
            let value = values.get(series).copied().unwrap_or_default();
            let (name, labels) = series;
            gauge!(*name, labels.clone()).set(value);
        }
    }
}

fn values(census: &Census) -> HashMap<Series, f64> {
    let mut values = HashMap::new();
    for it in &census.deployments {
        *values.entry(deployments(it)).or_default() += it.count as f64;
    }
    for (project, count) in &census.backing_off {
        *values.entry(backing_off(project)).or_default() += *count as f64;
    }
    for (project, count) in &census.first_failed {
        *values.entry(first_failed(project)).or_default() += *count as f64;
    }
    // 0 where all have what is asked for, so that an alert sees it end.
    for (project, count) in &census.short_canaries {
        *values.entry(short_canaries(project)).or_default() += *count as f64;
    }
    for it in &census.routes {
        *values.entry(routes(it)).or_default() += it.count as f64;
    }
    for (lifecycle, sub_step) in LIFECYCLE_STEPS {
        // A paused deployment stands still on purpose.
        let moving = census.deployments.iter().filter(|it| !it.paused);
        let here = moving.filter(|it| (it.lifecycle, it.sub_step) == (lifecycle, sub_step));
        let passed = |at: Option<Timestamp>| {
            let passed = at.map_or(Duration::ZERO, |at| census.at.since(at));
            passed.as_secs_f64()
        };
        let oldest = passed(here.clone().map(|it| it.since).min());
        let overdue = passed(here.filter_map(|it| it.deadline).min());
        values.insert((OLDEST, step(lifecycle, sub_step)), oldest);
        values.insert((OVERDUE, step(lifecycle, sub_step)), overdue);
    }
    values
}

fn deployments(it: &StateCounts) -> Series {
    let paused = if it.paused { "true" } else { "false" };
    let labels = [
        ("lifecycle", it.lifecycle.as_str()),
        ("sub_step", it.sub_step.map_or("", SubStep::as_str)),
        ("paused", paused),
        (
            "availability",
            it.availability.map_or("", Availability::as_str),
        ),
    ];
    (DEPLOYMENTS, project_labels(&it.project, labels))
}

fn backing_off(project: &str) -> Series {
    (BACKING_OFF, project_labels(project, []))
}

fn first_failed(project: &str) -> Series {
    (FIRST_FAILED, project_labels(project, []))
}

fn short_canaries(project: &str) -> Series {
    (SHORT_CANARIES, project_labels(project, []))
}

fn routes(it: &RouteStateCounts) -> Series {
    let labels = [
        ("status", it.status.as_str()),
        ("health", it.health.as_str()),
        ("traffic", it.traffic.as_str()),
    ];
    (ROUTES, project_labels(&it.project, labels))
}

fn step(lifecycle: Lifecycle, sub_step: Option<SubStep>) -> Vec<Label> {
    vec![
        Label::from_static_parts("lifecycle", lifecycle.as_str()),
        Label::from_static_parts("sub_step", sub_step.map_or("", SubStep::as_str)),
    ]
}

/// The series of every state in which a deployment or a route can be.
fn every_state() -> Vec<Series> {
    let mut all = vec![backing_off(""), first_failed(""), short_canaries("")];
    for (lifecycle, sub_step) in LIFECYCLE_STEPS {
        for (paused, availability) in [false, true]
            .into_iter()
            .flat_map(|paused| AVAILABILITIES.map(|it| (paused, it)))
        {
            all.push(deployments(&StateCounts {
                project: String::new(),
                lifecycle,
                sub_step,
                paused,
                availability,
                count: 0,
                since: Timestamp::default(),
                deadline: None,
            }));
        }
    }
    for (status, traffic) in LIVE_ROUTES {
        all.extend(HEALTHS.map(|health| {
            routes(&RouteStateCounts {
                project: String::new(),
                status,
                health,
                traffic,
                count: 0,
            })
        }));
    }
    all
}

const LIFECYCLE_STEPS: [(Lifecycle, Option<SubStep>); 7] = [
    (Lifecycle::Pending, None),
    (Lifecycle::Ready, None),
    (Lifecycle::Deploying, Some(SubStep::Provisioning)),
    (Lifecycle::Deploying, Some(SubStep::Shifting)),
    (Lifecycle::Deploying, Some(SubStep::AwaitingPromotion)),
    (Lifecycle::Deploying, Some(SubStep::RollingBack)),
    (Lifecycle::Destroying, None),
];

const AVAILABILITIES: [Option<Availability>; 5] = [
    None,
    Some(Availability::Available),
    Some(Availability::Degraded),
    Some(Availability::Unavailable),
    Some(Availability::Idle),
];

/// A route that ends takes no traffic.
const LIVE_ROUTES: [(RouteStatus, RouteTraffic); 5] = [
    (RouteStatus::Provisioning, RouteTraffic::Active),
    (RouteStatus::Provisioning, RouteTraffic::Inactive),
    (RouteStatus::Running, RouteTraffic::Active),
    (RouteStatus::Running, RouteTraffic::Inactive),
    (RouteStatus::Terminating, RouteTraffic::Inactive),
];

const HEALTHS: [RouteHealth; 4] = [
    RouteHealth::NotChecked,
    RouteHealth::Healthy,
    RouteHealth::Unhealthy,
    RouteHealth::Degraded,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(availability: Availability, count: i64) -> StateCounts {
        StateCounts {
            project: String::new(),
            lifecycle: Lifecycle::Ready,
            sub_step: None,
            paused: false,
            availability: Some(availability),
            count,
            since: Timestamp::from_micros(4_000_000),
            deadline: None,
        }
    }

    #[test]
    fn c1_what_serves_badly_is_a_series_of_its_own_and_backing_off_another() {
        let census = Census {
            deployments: vec![
                counted(Availability::Available, 5),
                counted(Availability::Unavailable, 3),
            ],
            backing_off: vec![(String::new(), 1)],
            first_failed: vec![(String::new(), 2)],
            short_canaries: vec![(String::new(), 4)],
            routes: Vec::new(),
            at: Timestamp::from_micros(10_000_000),
        };
        let values = values(&census);
        let of = |availability| values[&deployments(&counted(availability, 0))];
        assert_eq!(of(Availability::Available), 5.0);
        assert_eq!(of(Availability::Unavailable), 3.0);
        assert_eq!(values[&backing_off("")], 1.0);
        assert_eq!(values[&first_failed("")], 2.0);
        assert_eq!(values[&short_canaries("")], 4.0);
        assert_eq!(values[&(OLDEST, step(Lifecycle::Ready, None))], 6.0);
        assert_eq!(values[&(OVERDUE, step(Lifecycle::Ready, None))], 0.0);
    }

    /// What [`every_state`] leaves out would appear out of nothing.
    #[test]
    fn every_series_is_known_from_the_start() {
        let every = every_state();
        let distinct: HashSet<_> = every.iter().collect();
        assert_eq!(distinct.len(), every.len());
        assert_eq!(every.len(), 3 + 7 * 2 * 5 + 5 * 4);
    }
}
