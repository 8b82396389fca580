//! What replicas speak is a part of what proxies are sent.

use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    DeploymentEventKind as Kind, DeploymentProtocol as Protocol, UpdateDeploymentRequest,
};

use super::{deployment, follow};
use crate::{
    engines::both_engines,
    harness::{Engine, REFERENCE, TestEnv, manual, update},
};

#[apply(both_engines)]
#[tokio::test]
async fn another_protocol_is_a_new_table_and_an_event(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    let serving = env.serving(2, manual()).await;
    let mut events = follow(&env.api, &[REFERENCE]).await;
    assert_eq!(events.event().await.kind(), Kind::Snapshot);
    let mut tables = env.api.watch(REFERENCE).await;
    let first = tables.next().await.expect("the present table");
    assert_eq!((&*first.project, &*first.name), ("shop", "web"));
    assert_eq!(first.protocol(), Protocol::Http1);

    let ask = |protocol: Protocol| UpdateDeploymentRequest {
        protocol: protocol.into(),
        ..update(REFERENCE)
    };
    let updated = env.api.update(ask(Protocol::Http2)).await;
    let updated = updated.expect("it is taken");
    // It changes nothing, and makes no table: the next one is of the call after it.
    env.api.update(ask(Protocol::Http2)).await.expect("taken");
    for (epoch, protocol) in [
        (updated.epoch, Protocol::Http2),
        (updated.epoch + 1, Protocol::Tcp),
    ] {
        let table = tables.next().await.expect("a new table");
        assert_eq!((table.epoch, table.protocol()), (epoch, protocol));
        assert_eq!(table.endpoints, first.endpoints);
        let event = events.event().await;
        assert_eq!(event.kind(), Kind::Updated);
        assert_eq!(deployment(&event).protocol(), protocol);
        if protocol == Protocol::Http2 {
            env.api.update(ask(Protocol::Tcp)).await.expect("taken");
        }
    }
    let now = env.get().await;
    assert_eq!(now.current_revision_id, serving.current_revision_id);
    assert_eq!(now.lifecycle(), serving.lifecycle());
}
