//! Lists by labels of which few match, or none: a call looks at a bounded number of deployments,
//! and delays nobody else.

use std::time::{Duration, Instant};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::JoinSet;
use viridian_proto::v1::{CreateDeploymentRequest, ListDeploymentsRequest};

use crate::{
    engines::both_engines,
    harness::{Api, Engine, REFERENCE, Server, count, creation, manual, pause, resume},
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_call_looks_at_a_bounded_number_of_deployments(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    create(&api, "other", 2_050, &[("tier", "web")]).await;
    create(&api, "last", 3, &[("tier", "db"), ("last", "yes")]).await;
    // No index says what is not there. The first page has none of them, and says that it is not
    // the last.
    assert_eq!(pages(&api, "", "tier!=web").await, [0, 2, 1]);
    // By an index, the narrower one of several.
    for (project, selector) in [
        ("", "tier=db"),
        ("", "tier in (db, none)"),
        ("", "tier in (db, web),last=yes"),
        ("last", "tier,tier!=web"),
        ("last", "tier!=web"),
    ] {
        assert_eq!(pages(&api, project, selector).await, [2, 1], "{selector}");
    }
    for selector in ["tier=none", "tier=db,zone", "tier=db,tier!=db"] {
        assert_eq!(pages(&api, "", selector).await, [0], "{selector}");
    }
}

/// How many deployments each page of a list has, by two.
async fn pages(api: &Api, project: &str, selector: &str) -> Vec<usize> {
    let mut request = by_label(selector);
    request.project = project.to_owned();
    request.page_size = 2;
    let (mut found, mut pages) = (Vec::new(), Vec::new());
    loop {
        let page = api.deployments().list_deployments(request.clone()).await;
        let page = page.expect("a page").into_inner();
        pages.push(page.deployments.len());
        found.extend(page.deployments.into_iter().map(|it| it.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(found.is_sorted() && found.len() <= 3, "{found:?}");
    pages
}

/// 400 lists at once of 13,000 deployments, as often as they come, beside somebody's updates.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g10_a_selector_that_matches_nothing_delays_no_update(#[case] engine: Engine) {
    let tenths = count("VIRIDIAN_ATTACK_TENTHS", 1);
    let server = Server::start(engine).await;
    let api = server.api().await;
    create(&api, "other", 1_300 * tenths, &[("tier", "web")]).await;
    api.create(creation(0, manual())).await.expect("created");
    let alone = updates(&api).await;
    let mut lists = JoinSet::new();
    for _ in 0..40 * tenths {
        let api = server.api().await;
        lists.spawn(async move {
            loop {
                let page = api
                    .deployments()
                    .list_deployments(by_label("tier=none"))
                    .await;
                let page = page.expect("a page").into_inner();
                assert_eq!(page.deployments, []);
            }
        });
    }
    let beside = updates(&api).await;
    assert!(lists.try_join_next().is_none(), "none of them failed");
    report(&format!(
        "{engine:?}: an update alone {alone:?}, beside the lists {beside:?}"
    ));
}

/// The median and nearly the longest of some updates.
async fn updates(api: &Api) -> (Duration, Duration) {
    let mut times = Vec::new();
    for number in 0..100 {
        let began = Instant::now();
        match number % 2 {
            0 => drop(api.pause(pause(REFERENCE)).await.expect("paused")),
            _ => drop(api.resume(resume(REFERENCE)).await.expect("resumed")),
        }
        times.push(began.elapsed());
    }
    times.sort();
    (times[times.len() / 2], times[times.len() - 2])
}

async fn create(api: &Api, project: &str, count: u32, labels: &[(&str, &str)]) {
    let numbers: Vec<_> = (0..count).collect();
    for numbers in numbers.chunks(64) {
        let mut creating = JoinSet::new();
        for number in numbers {
            let labels = labels
                .iter()
                .map(|(key, value)| (key.to_string(), value.to_string()));
            let request = CreateDeploymentRequest {
                project: project.to_owned(),
                name: format!("web-{number}"),
                labels: labels.collect(),
                initial_revision: None,
                ..creation(0, manual())
            };
            let api = api.clone();
            creating.spawn(async move { api.create(request).await.expect("created") });
        }
        creating.join_all().await;
    }
}

fn by_label(selector: &str) -> ListDeploymentsRequest {
    ListDeploymentsRequest {
        label_selector: selector.to_owned(),
        ..ListDeploymentsRequest::default()
    }
}

/// Shown with `--nocapture`.
#[expect(
    clippy::print_stderr,
    reason = "figures are for those who ask for them"
)]
fn report(figures: &str) {
    eprintln!("{figures}");
}
