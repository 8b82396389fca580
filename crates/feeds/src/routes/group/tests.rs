use uuid::Uuid;
use viridian_store::{
    DeploymentSummary, HealthCheck, Metadata, RevisionOutline, Route, RouteAddress,
};
use viridian_strategy::{NewRoutes, RevisionId, RouteTraffic, Timestamp};

use super::*;

#[test]
fn d9_a_change_is_given_once_to_each_watch() {
    let mut changes = GroupChanges::default();
    changes.learn(&[route(1, RUNNING), route(2, RUNNING)]);
    let (mut one, mut other) = (changes.last(), changes.last());
    changes.update(deployment(), vec![route(1, RUNNING), route(2, RUNNING)]);
    assert_eq!(
        take(&changes, &mut one, &filter(&[RUNNING])),
        [],
        "no change"
    );

    changes.update(deployment(), vec![route(1, RUNNING), route(2, ENDED)]);
    assert_eq!(take(&changes, &mut one, &filter(&[RUNNING])), [(2, ENDED)]);
    assert_eq!(take(&changes, &mut one, &filter(&[RUNNING])), []);
    // The newest state replaces those that were not taken.
    changes.update(deployment(), vec![addressed(1), route(2, ENDED)]);
    let given = take(&changes, &mut other, &filter(&[RUNNING]));
    assert_eq!(given, [(2, ENDED), (1, RUNNING)]);
    assert_eq!(
        take(&changes, &mut one, &filter(&[RUNNING])),
        [(1, RUNNING)]
    );
}

#[test]
fn d9_a_watch_gets_what_leaves_its_statuses_and_nothing_else() {
    let mut changes = GroupChanges::default();
    changes.learn(&[route(1, RUNNING), route(2, STARTING)]);
    let mut version = changes.last();
    // Two moves before the watch takes one: it knows the route as it was before both.
    changes.update(deployment(), vec![route(1, LEAVING), route(2, STARTING)]);
    changes.update(deployment(), vec![route(1, ENDED), route(2, FAILED)]);
    let of_running = filter(&[RUNNING]);
    assert_eq!(take(&changes, &mut version, &of_running), [(1, ENDED)]);
    // A new one that never had the status is none of its business, in another project too.
    changes.update(
        deployment(),
        vec![route(1, ENDED), route(2, FAILED), route(3, STARTING)],
    );
    assert_eq!(take(&changes, &mut version.clone(), &of_running), []);
    let foreign = GroupRouteFilter {
        projects: Projects::These(vec!["q".to_owned()]),
        ..filter(&[STARTING])
    };
    assert_eq!(take(&changes, &mut version.clone(), &foreign), []);
    let of_starting = filter(&[STARTING]);
    assert_eq!(take(&changes, &mut version, &of_starting), [(3, STARTING)]);
}

#[test]
fn d9_what_all_have_taken_is_not_kept() {
    let mut changes = GroupChanges::default();
    let (mut quick, slow) = (changes.last(), changes.last());
    let all = (1..=200).map(|id| route(id, RUNNING)).collect();
    changes.update(deployment(), all);
    let mut given = 0;
    loop {
        let taken = changes.take_after(&mut quick, &filter(&[RUNNING]));
        assert!(taken.routes.len() <= MAX_TAKEN);
        given += taken.routes.len();
        if taken.is_all {
            break;
        }
    }
    assert_eq!(given, 200);
    changes.drop_taken(slow);
    assert_eq!(changes.by_version.len(), 200);
    changes.drop_taken(quick);
    assert!(changes.by_version.is_empty() && changes.of_route.is_empty());
    // And what they were is known all the same.
    changes.update(deployment(), vec![addressed(7)]);
    let moved = take(&changes, &mut quick, &filter(&[RUNNING]));
    assert_eq!(moved, [(7, RUNNING)]);
    assert_eq!(changes.known[&deployment()].len(), 1);
}

/// One that looks at nothing but foreign routes has to let others have the lock.
#[test]
fn d9_a_watch_looks_at_some_changes_at_once() {
    let mut changes = GroupChanges::default();
    let mut version = changes.last();
    let many = MAX_LOOKED_AT as u128 + 1;
    changes.update(
        deployment(),
        (1..=many).map(|id| route(id, RUNNING)).collect(),
    );
    let taken = changes.take_after(&mut version, &filter(&[FAILED]));
    assert!(taken.routes.is_empty() && !taken.is_all);
    let taken = changes.take_after(&mut version, &filter(&[FAILED]));
    assert!(taken.routes.is_empty() && taken.is_all);
}

fn take(
    changes: &GroupChanges,
    version: &mut ChangeVersion,
    filter: &GroupRouteFilter,
) -> Vec<(u128, RouteStatus)> {
    let taken = changes.take_after(version, filter);
    assert!(taken.is_all);
    let views = taken.routes.iter().map(|it| it.route.view);
    views
        .map(|view| (view.id.0.as_u128(), view.status))
        .collect()
}

fn filter(statuses: &[RouteStatus]) -> GroupRouteFilter {
    GroupRouteFilter {
        resource_group: "g".to_owned(),
        projects: Projects::All,
        statuses: statuses.to_vec(),
        or_moved_since: None,
        deployments: None,
    }
}

fn route(id: u128, status: RouteStatus) -> GroupRoute {
    let new = NewRoutes {
        revision: RevisionId(Uuid::nil()),
        count: 1,
        traffic: RouteTraffic::Inactive,
        activation: 1,
    };
    let mut view = new.create(RouteId(Uuid::from_u128(id)), Timestamp::from_micros(0));
    view.status = status;
    let summary = DeploymentSummary {
        id: deployment(),
        project: "p".to_owned(),
        name: "web".to_owned(),
        labels: [].into(),
        metadata: Metadata::default(),
    };
    let revision = RevisionOutline {
        id: view.revision,
        number: 1,
        health_check: HealthCheck::default(),
    };
    GroupRoute {
        route: Route {
            deployment: deployment(),
            view,
            session_id: String::new(),
            address: None,
            failure: String::new(),
            health_detail: String::new(),
        },
        revision: Arc::new(revision),
        deployment: Arc::new(summary),
    }
}

/// A RUNNING route of which only the address has changed.
fn addressed(id: u128) -> GroupRoute {
    let mut it = route(id, RUNNING);
    it.route.address = RouteAddress::parse("10.0.0.1:80").ok();
    it
}

fn deployment() -> DeploymentId {
    DeploymentId(Uuid::from_u128(1))
}

const STARTING: RouteStatus = RouteStatus::Provisioning;
const RUNNING: RouteStatus = RouteStatus::Running;
const LEAVING: RouteStatus = RouteStatus::Terminating;
const ENDED: RouteStatus = RouteStatus::Terminated;
const FAILED: RouteStatus = RouteStatus::FailedToStart;
