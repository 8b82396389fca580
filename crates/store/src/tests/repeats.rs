//! Repeats of a request, and callers that go away.

use std::{sync::Arc, time::Duration};

use rstest_reuse::apply;
use uuid::Uuid;

use super::{
    fixture::{Engine, Fixture, call, engines, manual, spec},
    invariants,
};
use crate::{
    Request, RequestContext, RequestId, StoreError, UnitError, transaction::UnitTransaction,
};
use viridian_engine::fail_points::{FailPoints, Fault};

fn request(body: &str) -> RequestContext {
    let request = Request {
        id: RequestId(Uuid::from_u128(7)),
        method: "Promote",
        fingerprint: body.as_bytes().to_vec(),
    };
    RequestContext {
        request: Some(request),
        ..call()
    }
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_gets_the_first_reply(#[case] engine: Engine) {
    let fixture = Arc::new(Fixture::new(engine).await);
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let callers: Vec<_> = (0..16)
        .map(|_| {
            let fixture = Arc::clone(&fixture);
            tokio::spawn(async move {
                fixture
                    .db
                    .complete_manual_promote(id, None, &request("a"))
                    .await
            })
        })
        .collect();
    let mut replies = Vec::new();
    for caller in callers {
        let promotion = caller
            .await
            .expect("no panic")
            .expect("the same reply for all");
        replies.push((promotion.deployment, promotion.promoted, promotion.drained));
    }
    assert!(replies.iter().all(|reply| *reply == replies[0]));
    assert_eq!(
        fixture
            .number("SELECT COUNT(*) AS n FROM history WHERE phase = 'PROMOTE'")
            .await,
        1
    );
    let other = fixture
        .db
        .complete_manual_promote(id, None, &request("b"))
        .await;
    assert!(matches!(other, Err(UnitError::RequestIdReused)));
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_repeat_that_could_be_done_again_is_not(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let id = fixture.ready(1, manual()).await;
    let first = fixture
        .db
        .create_revision(id, spec(), false, &request("a"))
        .await;
    let again = fixture
        .db
        .create_revision(id, spec(), false, &request("a"))
        .await;
    assert_eq!(
        first.expect("created").revision,
        again.expect("the same").revision
    );
    assert_eq!(
        fixture.number("SELECT COUNT(*) AS n FROM revisions").await,
        2
    );
}

/// A caller that goes away in the middle leaves no transaction open: the next
/// one has the deployment at once, and nothing of the first is there.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_leaves_nothing_behind(#[case] engine: Engine) {
    let fixture = Arc::new(Fixture::new(engine).await);
    let (id, _) = fixture.at_the_gate(2, manual()).await;
    let footprint = fixture.footprint().await;
    for _ in 0..20 {
        let (held, is_held) = tokio::sync::oneshot::channel();
        let caller = tokio::spawn({
            let fixture = Arc::clone(&fixture);
            async move {
                let work = async |tx: &mut UnitTransaction| -> Result<(), StoreError> {
                    tx.lock(id).await?;
                    tx.connection().await?.execute(DRAIN).await?;
                    let _ = held.send(());
                    std::future::pending().await
                };
                fixture.db.write(work).await
            }
        });
        is_held.await.expect("the lock is held");
        caller.abort();
        assert!(caller.await.expect_err("it was cancelled").is_cancelled());
        let terms = call();
        let next = fixture.db.preview_promote(id, None, &terms);
        let next = tokio::time::timeout(Duration::from_secs(1), next).await;
        next.expect("the deployment is free at once")
            .expect("it is held");
        assert_eq!(fixture.footprint().await, footprint);
    }
    invariants::hold(&fixture).await;
}

/// A reader that goes away in the middle of a query does not harm the next one.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_read_harms_no_other(#[case] engine: Engine) {
    let fixture = Arc::new(Fixture::new(engine).await);
    let long = "SELECT COUNT(*) AS n FROM (WITH RECURSIVE c(i) AS \
        (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < 100000) SELECT i FROM c) AS d";
    for _ in 0..8 {
        // Its second point: the query is sent, and not answered.
        let sent = Arc::new(FailPoints::at(1, Fault::Gone));
        let reader = tokio::spawn(Arc::clone(&sent).meet({
            let fixture = Arc::clone(&fixture);
            async move { fixture.number(long).await }
        }));
        sent.reached().await;
        reader.abort();
        assert!(reader.await.expect_err("it was cancelled").is_cancelled());
        assert_eq!(fixture.number(long).await, 100_000);
    }
}

const DRAIN: &str = "UPDATE routes SET status = 'TERMINATING', traffic_status = 'INACTIVE', \
    traffic_ratio = 0.0";
