//! What cannot be watched.

use rstest::rstest;
use tonic::Code;
use viridian_proto::v1::WatchDeploymentsRequest;

use super::{follow, idle};
use crate::harness::{
    Engine, REFERENCE, Server, behind, field_paths, of_deployments, of_project, refused,
};

#[rstest]
#[case::nothing(WatchDeploymentsRequest::default(), &["deployments"])]
#[case::both(
    WatchDeploymentsRequest { project: "shop".into(), ..of_deployments(&[REFERENCE]) },
    &["project"]
)]
#[case::no_project(of_project("a/b"), &["project"])]
#[case::no_reference(of_deployments(&[REFERENCE, "web"]), &["deployments[1]"])]
#[case::too_many(of_deployments(&[REFERENCE; 101]), &["deployments"])]
#[case::garbage(behind("garbage"), &["resume_token"])]
#[case::more_garbage(behind("AAAA"), &["resume_token"])]
#[case::all_at_once(
    WatchDeploymentsRequest { resume_token: "?".into(), ..of_deployments(&["web"]) },
    &["deployments[0]", "resume_token"]
)]
#[tokio::test]
async fn malformed_requests_name_their_fields(
    #[case] request: WatchDeploymentsRequest,
    #[case] fields: &[&str],
) {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    idle(&api, "web").await;
    assert_eq!(field_paths(&api.not_followed(request).await), fields);
}

#[tokio::test]
async fn a_token_is_of_one_question_and_of_one_database() {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    let web = idle(&api, "web").await;
    let cart = idle(&api, "cart").await;
    let token = follow(&api, &[REFERENCE]).await.event().await.resume_token;
    for other in [
        of_deployments(&["shop/cart"]),
        of_deployments(&[REFERENCE, "shop/cart"]),
        of_deployments(&[&cart.id]),
        // By its id it was not asked for.
        of_deployments(&[&web.id]),
        of_project("shop"),
    ] {
        let other = WatchDeploymentsRequest {
            resume_token: token.clone(),
            ..other
        };
        assert_eq!(
            field_paths(&api.not_followed(other).await),
            ["resume_token"]
        );
    }

    let elsewhere = Server::start(Engine::Sqlite).await;
    let status = elsewhere.api().await.not_followed(behind(&token)).await;
    assert_eq!(
        field_paths(&status),
        ["resume_token"],
        "it is not from there"
    );
}

#[rstest]
#[case::name("shop/nobody")]
#[case::id("01890a5d-ac96-774b-bcce-b302099a8057")]
#[tokio::test]
async fn an_unknown_deployment_is_not_found(#[case] reference: &str) {
    let server = Server::start(Engine::Sqlite).await;
    let api = server.api().await;
    idle(&api, "web").await;
    let status = api
        .not_followed(of_deployments(&[REFERENCE, reference]))
        .await;
    let details = refused(&status, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
    let resource = details.resource_info().expect("a resource");
    assert_eq!(resource.resource_name, reference);
}
