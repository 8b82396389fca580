//! Sets across projects: a member that is not the caller's is as if it were not there.

use tonic::Code;
use uuid::Uuid;
use viridian_proto::v1::{PromoteDeploymentsRequest, PromoteMember};

use super::staff::{GuardedServer, of_token};
use crate::harness::refused;

#[tokio::test(flavor = "multi_thread")]
async fn a18_a_member_of_another_project_refuses_all_and_nothing_is_learnt_of_it() {
    let entries = [
        of_token("root", "vrd_root", &["operator"], &["*"]),
        of_token("ann", "vrd_ann", &["promoter"], &["shop"]),
    ];
    let guarded = GuardedServer::start(&entries).await;
    let root = guarded.client("vrd_root").await;
    root.create("shop", "cart", 0).await.expect("root may");
    let hidden = root.create("bank", "vault", 0).await.expect("root may");
    let ann = guarded.client("vrd_ann").await;
    let mut told = Vec::new();
    for reference in [
        hidden.id.clone(),
        "bank/vault".to_owned(),
        "bank/none".to_owned(),
        "shop/none".to_owned(),
        Uuid::now_v7().to_string(),
    ] {
        // Nothing is being deployed in shop/cart, which is not told either.
        let members = ["shop/cart", reference.as_str()].map(|name| PromoteMember {
            deployment: name.to_owned(),
            ..PromoteMember::default()
        });
        let request = PromoteDeploymentsRequest {
            members: members.to_vec(),
            ..PromoteDeploymentsRequest::default()
        };
        let refusal = ann.deployments().promote_deployments(request).await;
        let refusal = refusal.expect_err(&reference);
        let details = refused(&refusal, Code::NotFound, "DEPLOYMENT_NOT_FOUND");
        let info = details.error_info().expect("an ErrorInfo");
        assert_eq!(info.metadata["member"], "members[1]", "{reference}");
        assert_eq!(info.metadata["refused_members"], "1", "{reference}");
        let resource = details.resource_info().expect("a ResourceInfo");
        assert_eq!(resource.resource_name, reference);
        told.push(refusal.message().replace(&reference, "it"));
    }
    told.dedup();
    assert_eq!(told, ["nothing was changed: it: there is no deployment it"]);
}
