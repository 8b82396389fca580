//! What happened to a deployment, and what it ran: history and revisions, newest
//! first, in pages that stay where they are.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Code, Status};
use uuid::Uuid;
use viridian_proto::v1::{
    DeploymentLifecycle, HistoryResult, ListHistoryRequest, ListRevisionsRequest,
    PauseDeploymentRequest,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, REFERENCE, TestEnv, abort, creation, delete, field_paths, manual, pause,
        refused, resume,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn a_revision_is_found_by_its_id_and_by_its_number(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(1, manual()).await;
    let created = env.api.create_revision(REFERENCE, false).await;
    let created = created.expect("recorded").revision.expect("a revision");
    assert_eq!(
        (created.number, created.created_by.as_str()),
        (2, "anonymous")
    );
    for (deployment, revision) in [
        (REFERENCE, created.id.as_str()),
        (REFERENCE, "2"),
        (&serving.id, "2"),
    ] {
        let found = env.api.revision(deployment, revision).await;
        assert_eq!(found.expect("it is there"), created);
    }
    let first = env.api.revision(REFERENCE, "1").await.expect("the first");
    assert_eq!(first.id, serving.current_revision_id);

    for unknown in ["3", &Uuid::now_v7().to_string()] {
        let refusal = env.api.revision(REFERENCE, unknown).await;
        let refusal = refusal.expect_err("there is none");
        let details = refused(&refusal, Code::NotFound, "REVISION_NOT_FOUND");
        let resource = details.resource_info().expect("a ResourceInfo");
        assert_eq!(resource.resource_type, "viridian.Revision");
        assert_eq!(resource.resource_name, unknown);
    }
    let refusal = env.api.revision("web", "0").await;
    let refusal = refusal.expect_err("both are wrong");
    assert_eq!(field_paths(&refusal), ["deployment", "revision"]);
    let refusal = env.api.revision(REFERENCE, "").await;
    assert_eq!(
        field_paths(&refusal.expect_err("it is required")),
        ["revision"]
    );
}

#[apply(both_engines)]
#[tokio::test]
async fn pages_of_revisions_stay_where_they_are(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let more = async || {
        let created = env.api.create_revision(REFERENCE, false).await;
        created.expect("recorded");
    };
    for _ in 0..4 {
        more().await;
    }
    let mut request = ListRevisionsRequest {
        deployment: REFERENCE.to_owned(),
        page_size: 2,
        ..ListRevisionsRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = env.api.revisions(request.clone()).await.expect("a page");
        assert!(page.revisions.len() <= 2);
        seen.extend(page.revisions.into_iter().map(|it| it.number));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        more().await;
    }
    assert_eq!(seen, [5, 4, 3, 2, 1], "newest first, none twice");
    let all = ListRevisionsRequest {
        deployment: REFERENCE.to_owned(),
        ..ListRevisionsRequest::default()
    };
    let all = env.api.revisions(all).await.expect("a page").revisions;
    assert!(all.len() > 5 && all.is_sorted_by(|a, b| a.number > b.number));
}

#[apply(both_engines)]
#[tokio::test]
async fn pages_of_history_stay_where_they_are(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    let flip = async || {
        env.api.pause(pause(REFERENCE)).await.expect("paused");
        env.api.resume(resume(REFERENCE)).await.expect("resumed");
    };
    flip().await;
    let all: Vec<_> = numbers(&env.api).await;
    let count = i64::try_from(all.len()).expect("a few");
    assert_eq!(all, (1..=count).rev().collect::<Vec<_>>(), "without gap");
    let mut request = ListHistoryRequest {
        deployment: REFERENCE.to_owned(),
        page_size: 2,
        ..ListHistoryRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = env.api.history_page(request.clone()).await;
        let page = page.expect("a page");
        assert!(page.entries.len() <= 2);
        seen.extend(page.entries.into_iter().map(|it| it.number));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        flip().await;
    }
    assert_eq!(seen, all);
}

#[apply(both_engines)]
#[tokio::test]
async fn a_page_that_cannot_be_is_an_invalid_argument(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    env.serving(1, manual()).await;
    env.api
        .create_revision(REFERENCE, false)
        .await
        .expect("recorded");
    let history = async |deployment: &str, page_size, page_token: &str| {
        let request = ListHistoryRequest {
            deployment: deployment.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let reply = env.api.history_page(request).await;
        reply.map(|page| page.next_page_token)
    };
    let revisions = async |deployment: &str, page_size, page_token: &str| {
        let request = ListRevisionsRequest {
            deployment: deployment.to_owned(),
            page_size,
            page_token: page_token.to_owned(),
        };
        let reply = env.api.revisions(request).await;
        reply.map(|page| page.next_page_token)
    };
    let of_history = history(REFERENCE, 1, "").await.expect("a page");
    let of_revisions = revisions(REFERENCE, 1, "").await.expect("a page");
    assert!(!of_history.is_empty() && !of_revisions.is_empty());
    let outcomes: [(Result<String, Status>, &[&str]); 8] = [
        (
            history(REFERENCE, 501, "x").await,
            &["page_size", "page_token"],
        ),
        (history(REFERENCE, -1, "").await, &["page_size"]),
        (history(REFERENCE, 1, &of_revisions).await, &["page_token"]),
        (
            history("web", 1, &of_history).await,
            &["deployment", "page_token"],
        ),
        (
            revisions(REFERENCE, 501, "x").await,
            &["page_size", "page_token"],
        ),
        (revisions(REFERENCE, -1, "").await, &["page_size"]),
        (revisions(REFERENCE, 1, &of_history).await, &["page_token"]),
        (
            revisions("web", 1, &of_revisions).await,
            &["deployment", "page_token"],
        ),
    ];
    for (outcome, expected) in outcomes {
        assert_eq!(field_paths(&outcome.expect_err("it cannot be")), expected);
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn history_says_what_happened_and_who_asked_for_it(#[case] engine: Engine) {
    use DeploymentLifecycle::{Deploying, Destroyed, Destroying, Pending, Ready, Unspecified};
    use HistoryResult::{RolledBack, Success};
    let env = TestEnv::start(engine).await;
    let gate = env.at_gate(1, manual()).await;
    let request_id = Uuid::now_v7().to_string();
    let request = PauseDeploymentRequest {
        request_id: request_id.clone(),
        reason: "lunch".to_owned(),
        ..pause(REFERENCE)
    };
    env.api.pause(request).await.expect("paused");
    env.api.abort(abort(REFERENCE)).await.expect("aborted");
    env.api.delete(delete(REFERENCE)).await.expect("deleted");
    env.api
        .until(&gate.id, "its end", |it| it.lifecycle() == Destroyed)
        .await;

    let mut history = env.api.history(&gate.id).await;
    history.reverse();
    let by_calls: Vec<_> = history
        .iter()
        .filter(|it| it.actor == "anonymous")
        .map(|it| {
            (
                it.phase.as_str(),
                it.result(),
                it.from_lifecycle(),
                it.to_lifecycle(),
            )
        })
        .collect();
    let expected = [
        ("CREATE", Success, Unspecified, Pending),
        ("ACTIVATE", Success, Ready, Deploying),
        ("PAUSE", Success, Deploying, Deploying),
        ("ABORT", RolledBack, Deploying, Deploying),
        ("ABORT", RolledBack, Deploying, Ready),
        ("DELETE", Success, Ready, Destroying),
    ];
    assert_eq!(by_calls, expected);
    for pair in history.windows(2) {
        let (old, new) = (&pair[0], &pair[1]);
        assert_eq!(new.number, old.number + 1);
        assert_eq!(new.from_lifecycle, old.to_lifecycle, "{new:?}");
        assert_eq!(new.from_sub_step, old.to_sub_step, "{new:?}");
    }
    let paused = history.iter().find(|it| it.phase == "PAUSE");
    let paused = paused.expect("an entry");
    assert_eq!(paused.reason, "lunch");
    assert_eq!(paused.request_id, request_id);
    assert_eq!(paused.revision_id, gate.deploying_revision_id);
    assert_eq!(paused.green.expect("counts").ready, 1);
    assert!(paused.create_time.is_some() && paused.attempts == 1);
    let last = history.last().expect("an entry");
    assert_eq!(
        (last.actor.as_str(), last.to_lifecycle()),
        ("coordinator", Destroyed)
    );

    // The next one of the same name has its own.
    env.api
        .create(creation(0, manual()))
        .await
        .expect("created");
    assert_eq!(numbers(&env.api).await.last(), Some(&1));
    assert!(env.api.history(REFERENCE).await.len() < history.len());
}

/// The numbers of all entries, newest first.
async fn numbers(api: &Api) -> Vec<i64> {
    let history = api.history(REFERENCE).await;
    history.iter().map(|it| it.number).collect()
}
