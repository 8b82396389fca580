//! The index of labels: the same as the labels of deployments, whatever is done to them.

use std::{collections::BTreeMap, time::Duration};

use rstest_reuse::apply;
use viridian_strategy::DeploymentId;

use super::{
    fixture::{Engine, Fixture, amend, call, engines, manual, on_heap},
    invariants,
    migrations::revert_with,
};
use crate::{Retention, check, recount};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g10_the_index_follows_the_labels(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let first = fixture.created(0, manual()).await;
    let second = fixture.created(0, manual()).await;
    fixture
        .label(first, &[("tier", "web"), ("zone", "a")])
        .await;
    fixture.label(second, &[("tier", "web")]).await;
    assert_eq!(fixture.labelled("tier", "web").await, [first, second]);
    invariants::hold(&fixture).await;

    // One stays, one changes, one goes, one comes.
    let changed = [("tier", "web"), ("zone", "b"), ("owner", "ü")];
    fixture.label(first, &changed).await;
    fixture.label(second, &[]).await;
    assert_eq!(fixture.labelled("tier", "web").await, [first]);
    assert_eq!(fixture.labelled("zone", "a").await, []);
    assert_eq!(fixture.labelled("zone", "b").await, [first]);
    invariants::hold(&fixture).await;

    let mut reader = fixture.db.reader().await.expect("a reader");
    assert!(reader.has_label_key("owner").await.expect("it is read"));
    assert!(!reader.has_label_key("none").await.expect("it is read"));
    drop(reader);
    let terms = call();
    let destroyed = on_heap(|| fixture.db.destroy_deployment(first, &terms)).await;
    destroyed.expect("it ends at once");
    let now = fixture.db.now().await.expect("the time");
    let later = now + Duration::from_secs(60 * 24 * 60 * 60);
    let pruned = fixture.db.prune_as_of(&Retention::default(), later).await;
    assert_eq!(pruned.expect("it prunes").deployments, 1);
    assert_eq!(fixture.labelled("tier", "web").await, []);
    invariants::hold(&fixture).await;
}

/// Up to a number of them, and from where the last page ended.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g10_the_index_is_read_in_pages(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut all = Vec::new();
    for _ in 0..5 {
        let id = fixture.created(0, manual()).await;
        fixture.label(id, &[("tier", "web")]).await;
        all.push(id);
    }
    let mut reader = fixture.db.reader().await.expect("a reader");
    let mut found = Vec::new();
    for expected in [2, 2, 1, 0] {
        let after = found.last().copied();
        let page = reader.list_labelled("tier", "web", after, 2).await;
        let page = page.expect("a page");
        assert_eq!(page.len(), expected);
        found.extend(page);
    }
    assert_eq!(found, all);
    let of_projects = reader.list_of_projects(vec!["p".into()], Some(all[2]), 9);
    assert_eq!(of_projects.await.expect("it is read"), all[3..]);
    let others = reader.list_of_projects(vec!["q".into()], None, 9).await;
    assert_eq!(others.expect("it is read"), []);
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g10_labels_of_before_are_in_the_index_after_the_migration(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.created(0, manual()).await;
    fixture.label(id, &[("tier", "web"), ("zone", "")]).await;
    let (url, keeper) = fixture.close();
    revert_with(&url, "20261130000017").await;
    let fixture = Fixture::reopen((url, keeper)).await;
    assert_eq!(fixture.labelled("tier", "web").await, [id]);
    assert_eq!(fixture.labelled("zone", "").await, [id]);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g10_a_wrong_index_is_found_and_rebuilt(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.created(0, manual()).await;
    fixture.label(id, &[("tier", "web")]).await;
    for tampered in [
        "UPDATE deployment_labels SET value = 'db'",
        "DELETE FROM deployment_labels",
        "INSERT INTO deployment_labels SELECT id, 'zone', 'a' FROM deployments",
    ] {
        fixture.tamper(tampered).await.expect("it is tampered with");
        let found = check(&fixture.url, None).await.expect("it is checked");
        assert!(!found.violations.is_empty(), "{tampered}");
        assert!(found.violations.iter().all(|it| it.invariant == "I37"));
        assert!(found.violations.iter().all(|it| it.deployment == id));
        match engine {
            // The server holds the file.
            Engine::Sqlite => fixture.db.recount().await.expect("it is written"),
            Engine::Postgres => recount(&fixture.url).await.expect("it is written"),
        }
        assert_eq!(fixture.labelled("tier", "web").await, [id]);
        invariants::hold(&fixture).await;
    }
}

impl Fixture {
    async fn label(&self, id: DeploymentId, labels: &[(&str, &str)]) {
        let labels = labels
            .iter()
            .map(|&(key, value)| (key.to_owned(), value.to_owned()));
        let labels: BTreeMap<_, _> = labels.collect();
        let change = amend(move |spec| spec.labels = labels.clone());
        let terms = call();
        let updated = on_heap(|| self.db.update_deployment(id, change, &terms)).await;
        updated.expect("it is labelled");
    }

    async fn labelled(&self, key: &str, value: &str) -> Vec<DeploymentId> {
        let mut reader = self.db.reader().await.expect("a reader");
        let found = reader.list_labelled(key, value, None, 100).await;
        found.expect("it is read")
    }
}
