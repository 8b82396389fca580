//! What must hold of a set, broken behind Viridian's back, is found.

use rstest_reuse::apply;

use super::{
    super::fixture::{Engine, Fixture, engines, manual, with_request},
    found, tamper,
};
use crate::PromoteMember;

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_set_that_is_not_what_its_caller_was_told_is_found(#[case] engine: Engine) {
    let without_the_second = match engine {
        Engine::Postgres => "UPDATE replies SET reply = (reply::jsonb #- '{members,1}')::text",
        Engine::Sqlite => "UPDATE replies SET reply = json_remove(reply, '$.members[1]')",
    };
    for statement in [
        "UPDATE history SET commit_id = NULL WHERE phase = 'PROMOTE' AND deployment_id = $d",
        "UPDATE history SET request_id = NULL WHERE phase = 'PROMOTE' AND deployment_id = $d",
        without_the_second,
    ] {
        let fixture = Fixture::new(engine).await;
        let mut members = Vec::new();
        for _ in 0..2 {
            let (id, _) = fixture.at_the_gate(1, manual()).await;
            members.push(PromoteMember::of(id));
        }
        let call = with_request();
        let promoted = fixture.db.promote_deployments(&members, &call).await;
        promoted.expect("both are ready");
        let [first, second] = [0, 1].map(|index: usize| members[index].deployment);
        assert_eq!(found(&fixture, second).await, [""; 0]);
        tamper(&fixture, second, statement).await;
        assert_eq!(found(&fixture, second).await, ["I26"], "{statement}");
        assert_eq!(found(&fixture, first).await, [""; 0], "{statement}");
    }
}
