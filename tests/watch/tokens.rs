//! Tokens that no server of this log gave.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use rstest::rstest;
use rstest_reuse::apply;
use uuid::Uuid;
use viridian_proto::v1::ListDeploymentsRequest;

use super::{change, follow, idle};
use crate::{
    engines::both_engines,
    harness::{Api, Engine, REFERENCE, Server, behind, field_paths, finish, viridian},
};

/// Its position is one that the other database has, too.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread")]
async fn d7_a_token_of_another_database_is_refused(#[case] engine: Engine) {
    let (here, there) = (Server::start(engine).await, Server::start(engine).await);
    let (here_api, there_api) = (here.api().await, there.api().await);
    for api in [&here_api, &there_api] {
        idle(api, "cart").await;
        idle(api, "web").await;
    }
    let token = follow(&here_api, &[REFERENCE])
        .await
        .event()
        .await
        .resume_token;
    let page = first_page(&here_api).await;
    for target in 1..=5 {
        change(&there_api, REFERENCE, target).await;
    }
    let refused = there_api.not_followed(behind(&token)).await;
    assert_eq!(field_paths(&refused), ["resume_token"]);
    let refused = there_api
        .deployments()
        .list_deployments(page_after(&page))
        .await;
    assert_eq!(
        field_paths(&refused.expect_err("another log")),
        ["page_token"]
    );

    // Where they were given they are taken, also by the next server.
    let here = here.restart().await;
    let here_api = here.api().await;
    here_api.follow(behind(&token)).await.expect("its own");
    here_api
        .deployments()
        .list_deployments(page_after(&page))
        .await
        .expect("its own");
}

/// A restored database gives its positions out a second time.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread")]
async fn d7_a_restored_database_takes_no_token_from_before(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for name in ["cart", "web"] {
        idle(&api, name).await;
    }
    let token = follow(&api, &[REFERENCE]).await.event().await.resume_token;
    let page = first_page(&api).await;
    let database = server.killed();
    let url = database.url();
    let checked = finish(viridian(&["check", "--after-restore", "--database", url])).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");

    let server = Server::on(database).await;
    let api = server.api().await;
    let refused = api.not_followed(behind(&token)).await;
    assert_eq!(field_paths(&refused), ["resume_token"]);
    let refused = api.deployments().list_deployments(page_after(&page)).await;
    assert_eq!(
        field_paths(&refused.expect_err("an old log")),
        ["page_token"]
    );
    let again = follow(&api, &[REFERENCE]).await.event().await.resume_token;
    api.follow(behind(&again))
        .await
        .expect("it is of the new log");
}

/// As a caller makes one: without a seal, or with more than fits.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread")]
async fn g3_a_token_that_a_caller_made_harms_no_other_watch(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    idle(&api, "web").await;
    let mut events = follow(&api, &[REFERENCE]).await;
    let given = events.event().await.resume_token;
    for count in [1, 100, 20_000] {
        let refused = api.not_followed(behind(&hand_made(count))).await;
        assert_eq!(field_paths(&refused), ["resume_token"], "{count}");
    }
    let mut changed = URL_SAFE_NO_PAD.decode(&given).expect("base64");
    changed[4] ^= 1;
    let refused = api
        .not_followed(behind(&URL_SAFE_NO_PAD.encode(changed)))
        .await;
    assert_eq!(field_paths(&refused), ["resume_token"]);

    let last = change(&api, REFERENCE, 1).await;
    let event = events.event().await.deployment.expect("a deployment");
    assert_eq!(event.sequence, last.sequence);
}

/// The token of an earlier program, for the first event of this many deployments.
fn hand_made(count: usize) -> String {
    let mut bytes = vec![0x08, 1, 0x10, 1, 0x2a];
    let mut length = count * 16;
    while length >= 0x80 {
        bytes.push(u8::try_from(length & 0x7f).expect("seven bits") | 0x80);
        length >>= 7;
    }
    bytes.push(u8::try_from(length).expect("seven bits"));
    for _ in 0..count {
        bytes.extend(Uuid::now_v7().as_bytes());
    }
    URL_SAFE_NO_PAD.encode(bytes)
}

async fn first_page(api: &Api) -> String {
    let page = api.deployments().list_deployments(page_after("")).await;
    let page = page.expect("a page").into_inner();
    assert!(!page.next_page_token.is_empty(), "there is another one");
    page.next_page_token
}

fn page_after(token: &str) -> ListDeploymentsRequest {
    ListDeploymentsRequest {
        page_size: 1,
        page_token: token.to_owned(),
        ..ListDeploymentsRequest::default()
    }
}
