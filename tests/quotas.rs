//! Quotas of projects, end to end: by flags and by the file of credentials, in errors, metrics
//! and the check.

use rstest::rstest;
use rstest_reuse::apply;
use tonic::{Code, Status};
use viridian_client::CallError;
use viridian_proto::v1::{ApplyDeploymentRequest, CreateDeploymentRequest};

use crate::{
    engines::both_engines,
    harness::{
        Engine, METRICS, REFERENCE, Server, creation, delete, eventually, manual, refused, update,
    },
    security::staff::{GuardedServer, of_token},
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_a_refusal_says_which_quota_and_how_much_is_used(#[case] engine: Engine) {
    let flags = ["--quota-deployments", "2", "--quota-replicas", "5"];
    let flags = [&METRICS[..], &flags].concat();
    let server = Server::start_with(engine, &flags).await;
    let api = server.api().await;
    api.create(creation(3, manual()))
        .await
        .expect("there is room");
    let second = CreateDeploymentRequest {
        name: "second".to_owned(),
        ..creation(3, manual())
    };
    let refusal = api.create(second.clone()).await.expect_err("6 of 5");
    let of_replicas = "replicas: 3 of 5 are used, and 3 more are asked for";
    assert_eq!(
        over(&refusal),
        [("shop/replicas".into(), of_replicas.into())]
    );
    let dry_run = ApplyDeploymentRequest {
        project: "shop".to_owned(),
        name: "second".to_owned(),
        target_replicas: Some(3),
        revision: creation(0, manual()).initial_revision,
        validate_only: true,
        ..ApplyDeploymentRequest::default()
    };
    let dry_run = api.deployments().apply_deployment(dry_run).await;
    assert_eq!(over(&dry_run.expect_err("it says so as well")).len(), 1);
    let fits = CreateDeploymentRequest {
        target_replicas: 2,
        ..second
    };
    api.create(fits).await.expect("up to the quota");
    let mut scaled = update(REFERENCE);
    scaled.target_replicas = 4;
    let refusal = api.update(scaled.clone()).await.expect_err("6 of 5");
    assert_eq!(over(&refusal).len(), 1);
    scaled.target_replicas = 2;
    api.update(scaled).await.expect("less");

    let metrics = server.metrics().await;
    for (series, value) in [
        (r#"usage{project="shop",resource="deployments"}"#, 2.0),
        (r#"usage{project="shop",resource="replicas"}"#, 4.0),
        (r#"quota{project="shop",resource="replicas"}"#, 5.0),
        (r#"quota{project="shop",resource="bytes"}"#, 0.0),
    ] {
        let series = format!("viridian_project_{series}");
        assert_eq!(
            metrics.value(&series),
            value,
            "{series}\n{}",
            metrics.text()
        );
    }
    api.delete(delete(REFERENCE)).await.expect("it gives back");
    api.create(creation(3, manual()))
        .await
        .expect("by its name");
}

/// A lower quota refuses growth at once, and another project has its own.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn g11_the_credentials_file_gives_projects_their_own_quotas() {
    let staff = of_token("ci", "vrd_ci", &["operator", "viewer"], &["shop", "blog"]);
    let with = |quota: &str| vec![staff.clone(), quota.to_owned()];
    let guarded = GuardedServer::start_with(&with("[quota.shop]\ndeployments = 2\n"), |command| {
        command.args(["--quota-deployments", "1"]);
    })
    .await;
    let client = guarded.client("vrd_ci").await;
    client.create("shop", "a", 1).await.expect("one of two");
    client.create("shop", "b", 1).await.expect("two of two");
    let refusal = client.create("shop", "c", 1).await.expect_err("three");
    assert_eq!(over(&refusal)[0].0, "shop/deployments");
    client.create("blog", "a", 1).await.expect("one of one");
    let refusal = client.create("blog", "b", 1).await.expect_err("two");
    assert_eq!(over(&refusal)[0].0, "blog/deployments");

    guarded
        .file
        .replace(&with("[quota.shop]\ndeployments = 3\n"));
    eventually("the new quota", async || {
        client.create("shop", "c", 1).await.ok()
    })
    .await;
    let refusal = client.create("shop", "d", 1).await.expect_err("four");
    assert_eq!(over(&refusal)[0].0, "shop/deployments");
}

/// Each quota's subject and description. No client is told to try again, and ours does not.
fn over(refusal: &Status) -> Vec<(String, String)> {
    let details = refused(refusal, Code::ResourceExhausted, "QUOTA_EXCEEDED");
    assert!(details.retry_info().is_none(), "{details:?}");
    assert!(!CallError::from(refusal.clone()).is_transient());
    let info = details.error_info().expect("an ErrorInfo");
    for key in ["project", "resource", "limit", "used", "requested"] {
        assert!(info.metadata.contains_key(key), "{key}: {info:?}");
    }
    let failure = details.quota_failure().expect("a QuotaFailure");
    let violations = failure.violations.iter();
    violations
        .map(|it| (it.subject.clone(), it.description.clone()))
        .collect()
}
