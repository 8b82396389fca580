//! What a resource group has: its open assignments, a part of them after each commit, and
//! its routes.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use rstest_reuse::apply;
use viridian_strategy::{DeploymentId, RouteHealth, RouteId, RouteStatus};

use super::fixture::{Engine, Fixture, engines, manual};
use crate::{Action, AssignmentSelection, GroupRoute, GroupRouteFilter, OpenAssignments, Projects};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g8_only_what_a_commit_changed_is_read(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (a, b) = (
        fixture.created(3, manual()).await,
        fixture.created(2, manual()).await,
    );
    let all = open(&fixture, &AssignmentSelection::All).await;
    assert_eq!((of(&all, a), of(&all, b)), (3, 2));
    let only_b = open(&fixture, &AssignmentSelection::Of([b].into())).await;
    assert_eq!((of(&only_b, a), of(&only_b, b)), (0, 2));
    // Nothing has become available since.
    let since = open(&fixture, &AssignmentSelection::Since(all.as_of)).await;
    assert_eq!(since.open, []);
    fixture.bring_up(b, RouteHealth::Healthy).await;
    let none = open(&fixture, &AssignmentSelection::Of([b].into())).await;
    assert_eq!(none.open, [], "they are answered");
    fixture.deploy(b).await;
    let new = open(&fixture, &AssignmentSelection::Since(all.as_of)).await;
    assert_eq!((of(&new, a), of(&new, b)), (0, 2));
    let one = &new.open[0];
    assert_eq!(
        (one.action, one.deployment.project.as_str()),
        (Action::Start, "p")
    );
    assert!(Arc::ptr_eq(&one.deployment, &new.open[1].deployment));
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g8_a_revision_is_read_once_for_all_its_routes(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.created(3, manual()).await;
    let all = open(&fixture, &AssignmentSelection::All).await;
    let mut read = Vec::new();
    for assignment in &all.open {
        let revision = fixture.db.revision(assignment.route.view.revision).await;
        read.push(revision.expect("it is read").expect("it is there"));
    }
    assert_eq!((read.len(), read[0].number), (3, 1));
    assert!(read.iter().all(|it| Arc::ptr_eq(it, &read[0])));
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_the_routes_of_a_group_are_listed_page_by_page(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (a, b) = (
        fixture.ready(3, manual()).await,
        fixture.ready(2, manual()).await,
    );
    let green = fixture.deploy(b).await;
    let all = list(&fixture, &filter(), 2).await;
    let deployments: Vec<_> = all.iter().map(|it| it.deployment.id).collect();
    assert_eq!(deployments, [a, a, a, b, b, b, b]);
    let ids: BTreeSet<RouteId> = all.iter().map(|it| it.route.view.id).collect();
    assert_eq!(ids.len(), 7, "each once");
    for it in &all {
        let expected = 1 + i64::from(it.route.view.revision == green);
        assert_eq!(it.revision.number, expected);
        assert_eq!(it.revision.health_check.path, "/");
        assert_eq!(it.deployment.metadata.resource_group, "g");
    }
    // By status, by project, and of another group.
    let of = async |filter: GroupRouteFilter| list(&fixture, &filter, 3).await.len();
    let starting = GroupRouteFilter {
        statuses: vec![RouteStatus::Provisioning],
        ..filter()
    };
    assert_eq!(of(starting).await, 2);
    let none = GroupRouteFilter {
        projects: Projects::These(vec!["q".to_owned()]),
        ..filter()
    };
    assert_eq!(of(none).await, 0);
    let other = GroupRouteFilter {
        resource_group: "h".to_owned(),
        ..filter()
    };
    assert_eq!(of(other).await, 0);
    // Those of some deployments, and what has moved lately whatever its status is.
    let some = GroupRouteFilter {
        deployments: Some(vec![b]),
        ..filter()
    };
    assert_eq!(of(some.clone()).await, 4);
    let ended = all[6].route.view.id;
    fixture.status(&[ended], RouteStatus::FailedToStart).await;
    assert_eq!(of(some.clone()).await, 3);
    let moved = fixture.db.reader().await.expect("a connection");
    let moved = { moved }
        .find_routes(vec![ended])
        .await
        .expect("it is read");
    let moved_at = moved[0].view.status_updated_at;
    for (since, expected) in [(moved_at, 4), (moved_at + Duration::from_secs(1), 3)] {
        let recent = GroupRouteFilter {
            or_moved_since: Some(since),
            ..some.clone()
        };
        assert_eq!(of(recent).await, expected);
    }
}

/// What one revision runs cannot be read. Its routes are left out, and no others.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn d9_routes_of_a_revision_that_cannot_be_read_hide_no_others(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    fixture.created(2, manual()).await;
    let spoil = "UPDATE revisions SET spec = '{\"nonsense\": 1}'";
    fixture.tamper(spoil).await.expect("it is spoiled");
    let whole = fixture.created(3, manual()).await;
    let listed = list(&fixture, &filter(), 2).await;
    assert!(listed.iter().all(|it| it.deployment.id == whole));
    assert_eq!(listed.len(), 3);
    let all = open(&fixture, &AssignmentSelection::All).await.open;
    let ids = all.iter().map(|it| it.route.view.revision);
    let revisions = fixture.db.readable_revisions(ids).await.expect("one is");
    assert_eq!(revisions.len(), 1);
    assert!(revisions.contains_key(&listed[0].revision.id));
}

async fn open(fixture: &Fixture, selection: &AssignmentSelection) -> OpenAssignments {
    let found = fixture.db.open_assignments("g", Projects::All, selection);
    found.await.expect("they are read")
}

fn of(found: &OpenAssignments, id: DeploymentId) -> usize {
    let all = found.open.iter();
    all.filter(|it| it.deployment.id == id).count()
}

fn filter() -> GroupRouteFilter {
    GroupRouteFilter {
        resource_group: "g".to_owned(),
        projects: Projects::All,
        statuses: vec![
            RouteStatus::Provisioning,
            RouteStatus::Running,
            RouteStatus::Terminating,
        ],
        or_moved_since: None,
        deployments: None,
    }
}

/// All of them, in pages.
async fn list(fixture: &Fixture, filter: &GroupRouteFilter, size: u32) -> Vec<GroupRoute> {
    let (mut all, mut after) = (Vec::new(), None);
    loop {
        let page = fixture.db.list_group_routes(filter.clone(), after, size);
        let page = page.await.expect("they are listed");
        assert!(page.len() <= size as usize);
        let is_last = page.len() < size as usize;
        after = page.last().map(|(position, _)| *position);
        all.extend(page.into_iter().filter_map(|(_, route)| route));
        if is_last {
            return all;
        }
    }
}
