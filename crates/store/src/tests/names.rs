//! Many names, and many numbers of revisions, are looked up together.

use std::{collections::HashMap, sync::Arc};

use rstest_reuse::apply;
use viridian_engine::fail_points::{FailPoints, Side};
use viridian_strategy::{DeploymentId, RevisionId};

use super::fixture::{Engine, Fixture, call, engines, new_deployment, on_heap, spec};
use crate::DeploymentName;

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn only_live_deployments_of_the_very_names_are_found(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let shop_cart = created(&fixture, "shop", "cart").await;
    let bank_vault = created(&fixture, "bank", "vault").await;
    // Each name also in the other project.
    created(&fixture, "shop", "vault").await;
    let bank_cart = created(&fixture, "bank", "cart").await;
    let asked = [
        named("shop", "cart"),
        named("bank", "vault"),
        named("bank", "none"),
        named("none", "cart"),
        named("shop", "cart"),
    ];
    let expected = HashMap::from([
        (named("shop", "cart"), shop_cart),
        (named("bank", "vault"), bank_vault),
    ]);
    assert_eq!(find(&fixture, &asked).await.0, expected);
    assert_eq!(find(&fixture, &[]).await, (HashMap::new(), 0));

    // A name is free once its deployment is being deleted.
    let deleted = fixture.db.delete_deployment(bank_cart, &call()).await;
    deleted.expect("it can be deleted");
    let of_name = [named("bank", "cart")];
    assert_eq!(find(&fixture, &of_name).await.0, HashMap::new());
    let again = created(&fixture, "bank", "cart").await;
    let found = find(&fixture, &of_name).await.0;
    assert_eq!(found, HashMap::from([(named("bank", "cart"), again)]));
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn the_names_of_a_set_take_one_statement(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut expected = HashMap::new();
    for number in 0..5 {
        let name = named("shop", &format!("d-{number}"));
        let id = created(&fixture, &name.project, &name.name).await;
        expected.insert(name, id);
    }
    let names = |count: usize| -> Vec<_> {
        let of = |number| named("shop", &format!("d-{number}"));
        (0..count).map(of).collect()
    };
    for (count, statements) in [(1, 1), (50, 1), (64, 1), (65, 2), (200, 4)] {
        let (found, sent) = find(&fixture, &names(count)).await;
        assert_eq!(found.len(), count.min(expected.len()), "{count}");
        assert!(found.iter().all(|(name, id)| expected[name] == *id));
        assert_eq!(sent, statements, "{count} names");
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn the_revisions_of_a_set_take_one_statement(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut deployments = Vec::new();
    for name in ["a", "b", "c"] {
        deployments.push(created(&fixture, "shop", name).await);
    }
    let [one, two, three] = deployments[..] else {
        panic!("{deployments:?}");
    };
    let second = created_revision(&fixture, one).await;
    created_revision(&fixture, two).await;
    let first = fixture.get(two).await.state.current().expect("a first");
    // The third has no second revision, though others have one.
    let asked = [(one, 2), (two, 1), (three, 2), (three, 7), (one, 2)];
    let (found, sent) = find_revisions(&fixture, &asked).await;
    assert_eq!(
        found,
        HashMap::from([((one, 2), second), ((two, 1), first)])
    );
    assert_eq!(sent, 1);
    let many: Vec<_> = (1..=50).map(|number| (one, number)).collect();
    let (found, sent) = find_revisions(&fixture, &many).await;
    assert_eq!((found.len(), sent), (2, 1));
    assert_eq!(find_revisions(&fixture, &[]).await, (HashMap::new(), 0));
}

fn named(project: &str, name: &str) -> DeploymentName {
    DeploymentName {
        project: project.to_owned(),
        name: name.to_owned(),
    }
}

async fn created(fixture: &Fixture, project: &str, name: &str) -> DeploymentId {
    let new = new_deployment(project, name);
    let call = call();
    let created = on_heap(|| fixture.db.create_deployment(new, &call)).await;
    created.expect("it is created").deployment.id
}

async fn created_revision(fixture: &Fixture, id: DeploymentId) -> RevisionId {
    let call = call();
    let created = on_heap(|| fixture.db.create_revision(id, spec(), false, &call)).await;
    created.expect("it is created").revision.id
}

/// What is found, and how many statements that took.
async fn find(
    fixture: &Fixture,
    names: &[DeploymentName],
) -> (HashMap<DeploymentName, DeploymentId>, usize) {
    let mut reader = fixture.db.reader().await.expect("a reader");
    let (found, sent) = counted(reader.find_deployment_ids(names)).await;
    (found.expect("they are read"), sent)
}

async fn find_revisions(
    fixture: &Fixture,
    numbers: &[(DeploymentId, i64)],
) -> (HashMap<(DeploymentId, i64), RevisionId>, usize) {
    let mut reader = fixture.db.reader().await.expect("a reader");
    let (found, sent) = counted(reader.find_revision_ids(numbers)).await;
    (found.expect("they are read"), sent)
}

/// Each statement passes a point before it is sent.
async fn counted<T>(work: impl Future<Output = T>) -> (T, usize) {
    let points = Arc::new(FailPoints::default());
    let result = Arc::clone(&points).meet(work).await;
    let passed = points.passed().into_iter();
    let sent = passed.filter(|point| point.side == Side::Before);
    (result, sent.count())
}
