//! Questions about some projects only.

use rstest_reuse::apply;
use viridian_strategy::{DeploymentId, RouteId};

use super::fixture::{Engine, Fixture, call, engines, new_deployment};
use crate::{AssignmentSelection, DeploymentFilter, Metadata, NewDeployment, Projects, Tables};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn what_is_of_other_projects_is_left_out(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (a, b) = (create(&fixture, "a").await, create(&fixture, "b").await);
    let [of_a, of_b] =
        [fixture.routes(a).await, fixture.routes(b).await].map(|routes| routes[0].view.id);

    for (projects, expected) in [
        (Projects::All, vec![a, b]),
        (these(&["a", "b"]), vec![a, b]),
        (these(&["a"]), vec![a]),
        (these(&["b", "c"]), vec![b]),
        (these(&["c"]), vec![]),
        (these(&[]), vec![]),
    ] {
        assert_eq!(listed(&fixture, &projects).await, expected, "{projects:?}");
        assert_eq!(tables(&fixture, &projects).await, expected, "{projects:?}");
        let routes: Vec<RouteId> = [(a, of_a), (b, of_b)]
            .into_iter()
            .filter(|(id, _)| expected.contains(id))
            .map(|(_, route)| route)
            .collect();
        assert_eq!(assigned(&fixture, &projects).await, routes, "{projects:?}");
    }

    let unknown = DeploymentId(uuid::Uuid::nil());
    let mut found = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .find_projects(vec![b, unknown, a])
        .await
        .expect("they are read");
    found.sort();
    assert_eq!(found, [(a, "a".to_owned()), (b, "b".to_owned())]);
    let found = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .find_route_projects(vec![of_b, RouteId(unknown.0)])
        .await;
    assert_eq!(found.expect("they are read"), [(of_b, "b".to_owned())]);
    let found = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .find_route_groups(vec![RouteId(unknown.0), of_b])
        .await;
    assert_eq!(found.expect("they are read"), [(of_b, "g".to_owned())]);
}

async fn create(fixture: &Fixture, project: &str) -> DeploymentId {
    let new = NewDeployment {
        metadata: Metadata {
            resource_group: "g".into(),
            ..Metadata::default()
        },
        ..new_deployment(project, "d")
    };
    let created = fixture.db.create_deployment(new, &call()).await;
    let id = created.expect("it is created").deployment.id;
    fixture.settle().await;
    id
}

fn these(projects: &[&str]) -> Projects {
    Projects::These(projects.iter().map(|&project| project.to_owned()).collect())
}

async fn listed(fixture: &Fixture, projects: &Projects) -> Vec<DeploymentId> {
    let filter = DeploymentFilter {
        projects: projects.clone(),
        ..DeploymentFilter::default()
    };
    let found = fixture
        .db
        .reader()
        .await
        .expect("a reader")
        .list_deployments(filter, None, 10)
        .await;
    let found = found.expect("they are read").into_iter();
    found.map(|(id, _)| id).collect()
}

/// Asked for by their ids, and all there are.
async fn tables(fixture: &Fixture, projects: &Projects) -> Vec<DeploymentId> {
    let all = Tables::All {
        after: None,
        limit: 10,
    };
    let ids = listed(fixture, &Projects::All).await;
    let [all, named] = [all, Tables::Of(ids)].map(async |which| {
        fixture
            .db
            .reader()
            .await
            .expect("a reader")
            .traffic_tables(which, projects.clone())
            .await
    });
    let [all, named] = [all.await, named.await].map(|found| found.expect("they are read"));
    assert_eq!(all, named);
    all.into_iter().map(|table| table.deployment).collect()
}

async fn assigned(fixture: &Fixture, projects: &Projects) -> Vec<RouteId> {
    let open = fixture
        .db
        .open_assignments("g", projects.clone(), &AssignmentSelection::All)
        .await;
    let open = open.expect("they are read").open.into_iter();
    open.map(|assignment| assignment.route.view.id).collect()
}
