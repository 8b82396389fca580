//! Lists: pages that stay where they are, filters, labels.

use std::collections::BTreeSet;

use rstest::rstest;
use rstest_reuse::apply;
use tonic::Status;
use viridian_proto::v1::{
    CreateDeploymentRequest, CreateRevisionRequest, DeploymentLifecycle, ListAssignmentsRequest,
    ListDeploymentsRequest, ListDeploymentsResponse, ListRevisionsRequest, ListRoutesRequest,
    ListRoutesResponse, RevisionSpec, RouteStatus,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, GROUP, REFERENCE, Server, TestEnv, creation, field_paths, finish, manual,
        viridian,
    },
};

#[apply(both_engines)]
#[tokio::test]
async fn pages_of_deployments_stay_where_they_are(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let old = ["e", "c", "a", "d", "b"];
    for name in old {
        idle(&api, name, &[]).await;
    }
    let mut request = ListDeploymentsRequest {
        page_size: 2,
        ..ListDeploymentsRequest::default()
    };
    let mut seen = Vec::new();
    for number in 0.. {
        let page = list(&api, &request).await.expect("a page");
        assert!(page.deployments.len() <= 2);
        seen.extend(page.deployments.into_iter().map(|it| it.name));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        if number < 2 {
            idle(&api, &format!("new-{number}"), &[]).await;
        }
    }
    assert_eq!(seen, ["e", "c", "a", "d", "b", "new-0", "new-1"]);
}

/// A scheduler that is gone has left 600, more than any page has.
#[apply(both_engines)]
#[tokio::test]
async fn d1_every_open_assignment_is_on_some_page(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for (name, replicas) in [("abandoned", 600), ("later", 1)] {
        let request = CreateDeploymentRequest {
            name: name.to_owned(),
            ..creation(replicas, manual())
        };
        api.create(request).await.expect("it can be created");
    }
    for (page_size, limit) in [(0, 100), (500, 500)] {
        let pages = assignments(&api, page_size).await;
        assert!(pages.iter().all(|page| page.len() <= limit));
        let all: Vec<_> = pages.concat();
        let distinct: BTreeSet<_> = all.iter().collect();
        assert_eq!((all.len(), distinct.len()), (601, 601), "{page_size}");
    }
    let mut request = ListAssignmentsRequest {
        resource_group: GROUP.to_owned(),
        page_size: 1,
        ..ListAssignmentsRequest::default()
    };
    let page = api.routes().list_assignments(request.clone()).await;
    request.page_token = page.expect("a page").into_inner().next_page_token;
    request.resource_group = "other".to_owned();
    let refusal = api.routes().list_assignments(request).await;
    let refusal = refusal.expect_err("the token is of another group");
    assert_eq!(field_paths(&refusal), ["page_token"]);
}

/// Nor does a row of another deployment that cannot be read keep it from its scheduler.
#[apply(both_engines)]
#[tokio::test]
async fn d1_a_revision_that_cannot_be_read_hides_no_other_assignment(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for name in ["spoilt", "whole"] {
        let request = CreateDeploymentRequest {
            name: name.to_owned(),
            ..creation(2, manual())
        };
        api.create(request).await.expect("it can be created");
        if name == "spoilt" {
            let spoil = "UPDATE revisions SET spec = '{\"nonsense\": 1}'";
            server.database().execute(spoil).await;
        }
    }
    for page_size in [0, 1] {
        let pages = assignments(&api, page_size).await;
        assert_eq!(pages.concat().len(), 2, "those of the other one");
    }
}

/// Each assignment has the specification: 90 of them are 5 MiB.
#[apply(both_engines)]
#[tokio::test]
async fn d1_pages_of_assignments_end_by_bytes(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let request = CreateDeploymentRequest {
        initial_revision: Some(large_spec(0)),
        ..creation(90, manual())
    };
    api.create(request).await.expect("it can be created");
    let pages = assignments(&api, 500).await;
    assert!(pages.len() >= 2, "{}", pages.len());
    let distinct: BTreeSet<_> = pages.concat().into_iter().collect();
    assert_eq!(distinct.len(), 90);
}

/// The client refuses more than 4 MiB, as every gRPC library does.
#[apply(both_engines)]
#[tokio::test]
async fn d2_a_page_of_large_revisions_can_be_read_by_any_client(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    let created = api.create(creation(0, manual())).await;
    created.expect("it can be created");
    for number in 1..=90 {
        let request = CreateRevisionRequest {
            deployment: REFERENCE.to_owned(),
            spec: Some(large_spec(number)),
            ..CreateRevisionRequest::default()
        };
        let reply = api.deployments().create_revision(request).await;
        reply.expect("it can be created");
    }
    let mut request = ListRevisionsRequest {
        deployment: REFERENCE.to_owned(),
        page_size: 500,
        ..ListRevisionsRequest::default()
    };
    let (mut seen, mut pages) = (Vec::new(), 0);
    loop {
        let page = api.deployments().list_revisions(request.clone()).await;
        let page = page.expect("a page").into_inner();
        seen.extend(page.revisions.into_iter().map(|it| it.number));
        pages += 1;
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    assert!(pages >= 2, "{pages}");
    assert!(seen.len() >= 90, "{}", seen.len());
    let newest = seen[0];
    let expected = newest + 1 - i64::try_from(seen.len()).expect("few")..=newest;
    assert_eq!(seen, expected.rev().collect::<Vec<_>>());
    let list = [
        "deployment",
        "revisions",
        REFERENCE,
        "--server",
        &server.url(),
    ];
    let run = finish(viridian(&list)).await;
    assert_eq!(run.code, Some(0), "{run:?}");
}

/// The routes of all pages of assignments.
async fn assignments(api: &Api, page_size: i32) -> Vec<Vec<String>> {
    let mut request = ListAssignmentsRequest {
        resource_group: GROUP.to_owned(),
        page_size,
        ..ListAssignmentsRequest::default()
    };
    let mut pages = Vec::new();
    loop {
        let page = api.routes().list_assignments(request.clone()).await;
        let page = page.expect("a page").into_inner();
        let routes = page.assignments.into_iter().filter_map(|it| it.route);
        pages.push(routes.map(|route| route.id).collect());
        if page.next_page_token.is_empty() {
            return pages;
        }
        request.page_token = page.next_page_token;
    }
}

/// Of about 60 KiB.
fn large_spec(number: i32) -> RevisionSpec {
    let value = format!("{number}-{}", "x".repeat(60_000));
    RevisionSpec {
        image: "registry.test/web:1".to_owned(),
        environ: [("LARGE".to_owned(), value)].into(),
        ..RevisionSpec::default()
    }
}

#[apply(both_engines)]
#[tokio::test]
async fn pages_of_routes_stay_where_they_are(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(5, manual()).await;
    let old: Vec<_> = env.routes().await.into_iter().map(|it| it.id).collect();
    let mut request = ListRoutesRequest {
        deployment: REFERENCE.to_owned(),
        page_size: 2,
        ..ListRoutesRequest::default()
    };
    let mut seen = Vec::new();
    loop {
        let page = list_routes(&env.api, &request).await.expect("a page");
        assert!(page.routes.len() <= 2);
        seen.extend(page.routes.into_iter().map(|it| it.id));
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
        if seen.len() == 2 {
            env.bring_up().await;
        }
    }
    assert_eq!(seen[..5], old, "oldest first");
    let all: Vec<_> = env.routes().await.into_iter().map(|it| it.id).collect();
    assert_eq!(seen, all);
    assert_eq!(seen.len(), 10);

    let request = ListRoutesRequest {
        deployment: serving.id,
        revision: "1".to_owned(),
        statuses: vec![RouteStatus::Running.into()],
        ..ListRoutesRequest::default()
    };
    let blue = list_routes(&env.api, &request)
        .await
        .expect("a page")
        .routes;
    assert_eq!(blue.into_iter().map(|it| it.id).collect::<Vec<_>>(), old);
    let request = ListRoutesRequest {
        statuses: vec![RouteStatus::Terminated.into()],
        ..request
    };
    assert_eq!(
        list_routes(&env.api, &request)
            .await
            .expect("a page")
            .routes,
        []
    );
}

#[apply(both_engines)]
#[tokio::test]
async fn a_bad_token_is_an_invalid_argument(#[case] engine: Engine) {
    let server = Server::start(engine).await;
    let api = server.api().await;
    for name in ["a", "b"] {
        idle(&api, name, &[]).await;
    }
    let request = ListDeploymentsRequest {
        page_size: 1,
        ..ListDeploymentsRequest::default()
    };
    let first = list(&api, &request).await.expect("a page");
    let with_token = |page_token: &str| ListDeploymentsRequest {
        page_token: page_token.to_owned(),
        ..request.clone()
    };
    for token in ["x", "e30", &format!("{}A", first.next_page_token), "\u{0}"] {
        let refusal = list(&api, &with_token(token)).await;
        let refusal = refusal.expect_err("not a token");
        assert_eq!(field_paths(&refusal), ["page_token"], "{token:?}");
    }
    let other_question = ListDeploymentsRequest {
        project: "shop".to_owned(),
        ..with_token(&first.next_page_token)
    };
    let refusal = list(&api, &other_question).await;
    let refusal = refusal.expect_err("the token of another list");
    assert_eq!(field_paths(&refusal), ["page_token"]);

    let request = ListRoutesRequest {
        deployment: "shop/a".to_owned(),
        page_token: "x".to_owned(),
        page_size: 501,
        ..ListRoutesRequest::default()
    };
    let refusal = list_routes(&api, &request).await;
    let refusal = refusal.expect_err("not a token, and too much");
    assert_eq!(field_paths(&refusal), ["page_size", "page_token"]);
    let request = ListDeploymentsRequest {
        page_size: -1,
        ..ListDeploymentsRequest::default()
    };
    let refusal = list(&api, &request).await.expect_err("less than nothing");
    assert_eq!(field_paths(&refusal), ["page_size"]);
}

#[apply(both_engines)]
#[tokio::test]
async fn selects_by_label_project_and_lifecycle(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let api = &env.api;
    env.serving(1, manual()).await;
    idle(api, "a", &[("tier", "web"), ("team", "red")]).await;
    idle(api, "b", &[("tier", "web"), ("team", "blue")]).await;
    idle(api, "c", &[("tier", "db")]).await;
    let found = async |request: ListDeploymentsRequest| -> Vec<String> {
        let page = list(api, &request).await.expect("a page");
        page.deployments.into_iter().map(|it| it.name).collect()
    };
    for (selector, names) in [
        ("tier=web", vec!["a", "b"]),
        ("tier==web,team!=red", vec!["b"]),
        ("team", vec!["a", "b"]),
        ("!team", vec!["web", "c"]),
        ("tier in (db, web),!team", vec!["c"]),
        ("team notin (red)", vec!["web", "b", "c"]),
        ("tier=nothing", vec![]),
    ] {
        let request = ListDeploymentsRequest {
            label_selector: selector.to_owned(),
            ..ListDeploymentsRequest::default()
        };
        assert_eq!(found(request).await, names, "{selector}");
    }
    // A selector and pages go together.
    let mut request = ListDeploymentsRequest {
        label_selector: "tier".to_owned(),
        page_size: 1,
        ..ListDeploymentsRequest::default()
    };
    for name in ["a", "b", "c"] {
        let page = list(api, &request).await.expect("a page");
        assert_eq!(page.deployments[0].name, name);
        request.page_token = page.next_page_token;
    }
    let ready = ListDeploymentsRequest {
        lifecycles: vec![DeploymentLifecycle::Ready.into()],
        ..ListDeploymentsRequest::default()
    };
    assert_eq!(found(ready).await, ["web"]);
    let elsewhere = ListDeploymentsRequest {
        project: "elsewhere".to_owned(),
        ..ListDeploymentsRequest::default()
    };
    assert!(found(elsewhere).await.is_empty());
    let request = ListDeploymentsRequest {
        label_selector: "tier in (web".to_owned(),
        lifecycles: vec![0],
        ..ListDeploymentsRequest::default()
    };
    let refusal = list(api, &request).await.expect_err("both are wrong");
    assert_eq!(field_paths(&refusal), ["label_selector", "lifecycles[0]"]);
}

/// Creates a deployment of project shop without a revision.
async fn idle(api: &Api, name: &str, labels: &[(&str, &str)]) {
    let labels = labels.iter();
    let request = CreateDeploymentRequest {
        name: name.to_owned(),
        labels: labels
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
            .collect(),
        initial_revision: None,
        ..creation(1, manual())
    };
    api.create(request).await.expect("it can be created");
}

async fn list(
    api: &Api,
    request: &ListDeploymentsRequest,
) -> Result<ListDeploymentsResponse, Status> {
    let reply = api.deployments().list_deployments(request.clone()).await?;
    Ok(reply.into_inner())
}

async fn list_routes(api: &Api, request: &ListRoutesRequest) -> Result<ListRoutesResponse, Status> {
    let reply = api.deployments().list_routes(request.clone()).await?;
    Ok(reply.into_inner())
}
