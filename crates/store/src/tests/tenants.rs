//! What one project does is nothing to another.

use std::time::Duration;

use futures::future::join_all;
use rstest_reuse::apply;
use viridian_strategy::DeploymentId;

use super::{
    fixture::{Engine, Fixture, call, engines, new_deployment, with_request},
    invariants,
    migrations::revert_with,
};
use crate::{NewDeployment, Request, RequestContext, Retention, UnitError, Updated};

/// Every verb of one project with an id that another project used for another call.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_request_id_is_of_one_project(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let [here, there] = ["here", "there"].map(|it| idle(it, "web"));
    let terms = with_request();
    let body = |body: &str| RequestContext {
        request: terms.request.clone().map(|request| Request {
            fingerprint: body.into(),
            ..request
        }),
        ..call()
    };
    let first = fixture.db.create_deployment(here.clone(), &body("a")).await;
    let first = first.expect("created").deployment;
    // Another body, another method: all that matters is that it is another project.
    let other = fixture.db.create_deployment(there, &body("b")).await;
    let other = other.expect("the id is free here").deployment;
    assert_eq!(other.project, "there");

    // Each gets its own first reply, and the body is compared within the project.
    let again = fixture.db.create_deployment(here.clone(), &body("a")).await;
    assert_eq!(again.expect("a repeat").deployment, first);
    let repeat = body("b");
    let again = fixture
        .db
        .create_deployment(idle("there", "web"), &repeat)
        .await;
    assert_eq!(again.expect("a repeat").deployment, other);
    let reused = fixture.db.create_deployment(here, &body("b")).await;
    assert!(matches!(reused, Err(UnitError::RequestIdReused)));
    let reused = fixture.db.pause_deployment(other.id, &body("a")).await;
    assert!(matches!(reused, Err(UnitError::RequestIdReused)));
    invariants::hold(&fixture).await;
}

/// A call of one project that shares its id and its batch with one of another project neither
/// fails nor makes the others run alone.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g12_one_batch_takes_the_same_id_of_several_projects(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut ids = Vec::new();
    for project in ["a", "b", "c", "d"] {
        ids.push(create(&fixture, project, "web").await);
    }
    let terms = with_request();
    let pauses = ids
        .iter()
        .map(|&id| fixture.db.pause_deployment(id, &terms));
    for (paused, id) in join_all(pauses).await.into_iter().zip(&ids) {
        assert_eq!(paused.expect("it is paused").deployment.id, *id);
    }
    assert_eq!(replies(&fixture).await, 4);
    // Nobody looks up what another project has done by an id.
    for (project, id) in ["a", "b", "c", "d", "e"]
        .into_iter()
        .zip(ids.iter().map(Some).chain([None]))
    {
        let request = terms.request.as_ref().expect("it has one");
        let mut reader = fixture.db.reader().await.expect("a reader");
        let found = reader.find_replied_deployment(project, request).await;
        assert_eq!(found.expect("it is read"), id.copied(), "{project}");
    }
    invariants::hold(&fixture).await;
}

/// An id of another project has been used since: only what is old goes.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_reply_is_kept_for_its_own_day(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (old, new) = (
        create(&fixture, "old", "web").await,
        create(&fixture, "new", "web").await,
    );
    let terms = with_request();
    for id in [old, new] {
        let paused = fixture.db.pause_deployment(id, &terms).await;
        paused.expect("it is paused");
    }
    let now = fixture.db.now().await.expect("the time");
    let past = now - Duration::from_secs(2 * 24 * 60 * 60);
    let older = format!("UPDATE replies SET created_at = '{past}' WHERE project = 'old'");
    fixture.tamper(&older).await.expect("it is tampered with");
    let pruned = fixture.db.prune(&Retention::default()).await;
    assert_eq!(pruned.expect("it prunes").replies, 1);
    let again = fixture.db.pause_deployment(new, &terms).await;
    assert!(again.expect("the first reply").deployment.paused);
    let again = fixture.db.pause_deployment(old, &terms).await;
    assert!(matches!(again, Err(UnitError::Refused(_))), "{again:?}");
}

/// Repeats across the upgrade are answered: the replies of earlier programs find their projects.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g12_a_reply_of_before_the_upgrade_answers_its_project(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let calls = [with_request(), with_request()];
    let mut first = Vec::new();
    for (project, terms) in ["a", "b"].iter().zip(&calls) {
        let created = fixture
            .db
            .create_deployment(idle(project, "web"), terms)
            .await;
        first.push(created.expect("created").deployment);
    }
    // Below, an id is of all projects: the first one keeps it.
    let shared = fixture.db.pause_deployment(first[1].id, &calls[0]).await;
    shared.expect("the id is free in that project");
    let (url, folder) = fixture.close();
    revert_with(&url, "20261130000012").await;
    let fixture = Fixture::reopen((url, folder)).await;
    assert_eq!(replies(&fixture).await, 2);
    for ((project, terms), first) in ["a", "b"].iter().zip(&calls).zip(&first) {
        let again = fixture
            .db
            .create_deployment(idle(project, "web"), terms)
            .await;
        assert_eq!(&again.expect("a repeat").deployment, first);
    }
    // The other project's id is free in this one.
    let paused = fixture.db.pause_deployment(first[0].id, &calls[1]).await;
    assert!(paused.expect("it is paused").deployment.paused);
}

async fn create(fixture: &Fixture, project: &str, name: &str) -> DeploymentId {
    let created = fixture
        .db
        .create_deployment(idle(project, name), &call())
        .await;
    let Updated { deployment } = created.expect("created");
    deployment.id
}

fn idle(project: &str, name: &str) -> NewDeployment {
    NewDeployment {
        target_replicas: 0,
        initial_revision: None,
        ..new_deployment(project, name)
    }
}

async fn replies(fixture: &Fixture) -> i64 {
    fixture.number("SELECT COUNT(*) AS n FROM replies").await
}
