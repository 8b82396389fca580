//! Callers that wait at the same time share transactions, and none of them notices.

use std::{collections::BTreeSet, sync::Arc};

use rstest_reuse::apply;
use tokio::{sync::Barrier, task::JoinSet};
use uuid::Uuid;
use viridian_strategy::{DeploymentId, DeploymentState};

use super::{
    fixture::{Engine, Fixture, call, engines, manual},
    invariants,
};
use crate::{Request, RequestContext, RequestId, UnitError};

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_that_spoils_it_is_alone_with_that(#[case] engine: Engine) {
    let fixture = Arc::new(Fixture::new(engine).await);
    let ids = at_their_gates(&fixture).await;
    // The request id of the last one was used by the first.
    let used = named(1);
    let first = fixture.db.complete_manual_promote(ids[0], None, &used);
    first.await.expect("it is promoted");
    let terms = |number: usize| if number + 1 == CALLERS { 1 } else { 2 + number };
    let told = all_at_once(&fixture, &ids[1..], terms).await;
    let (spoiler, others) = told.split_last().expect("some");
    for (id, result) in others {
        result.as_ref().expect("it is promoted");
        let state = fixture.get(*id).await.state;
        assert!(matches!(state, DeploymentState::Ready { .. }), "{state:?}");
    }
    // It gets the first reply, as any repeat does.
    spoiler.1.as_ref().expect("it was promoted before");
    let state = fixture.get(spoiler.0).await.state;
    assert!(matches!(state, DeploymentState::Deploying(_)), "{state:?}");
    invariants::hold(&fixture).await;
}

/// Counted by the ids that PostgreSQL gives transactions.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_transactions_do_for_many_callers() {
    let fixture = Arc::new(Fixture::new(Engine::Postgres).await);
    let ids = at_their_gates(&fixture).await;
    for (_, result) in all_at_once(&fixture, &ids, |number| 1 + number).await {
        result.expect("it is promoted");
    }
    let promoted = "SELECT COUNT(*) AS n FROM history WHERE phase = 'PROMOTE'";
    assert_eq!(fixture.number(promoted).await, ids.len() as i64);
    let transactions = fixture
        .number("SELECT COUNT(DISTINCT xmin::text) AS n FROM history WHERE phase = 'PROMOTE'")
        .await;
    assert!(transactions < ids.len() as i64 / 2, "{transactions}");
    invariants::hold(&fixture).await;
}

async fn at_their_gates(fixture: &Fixture) -> Vec<DeploymentId> {
    let mut ids = Vec::new();
    for _ in 0..=CALLERS {
        ids.push(fixture.at_the_gate(2, manual()).await.0);
    }
    ids
}

type Told = Result<crate::Promotion, UnitError<crate::PromoteRefusal>>;

/// Has each promoted by a caller of its own. Gives what each was told, in their
/// order.
async fn all_at_once(
    fixture: &Arc<Fixture>,
    ids: &[DeploymentId],
    request: impl Fn(usize) -> usize,
) -> Vec<(DeploymentId, Told)> {
    let start = Arc::new(Barrier::new(ids.len()));
    let mut callers = JoinSet::new();
    for (number, &id) in ids.iter().enumerate() {
        let (fixture, start) = (Arc::clone(fixture), Arc::clone(&start));
        let terms = named(request(number));
        callers.spawn(async move {
            start.wait().await;
            let told = fixture.db.complete_manual_promote(id, None, &terms).await;
            (number, (id, told))
        });
    }
    let mut told = callers.join_all().await;
    told.sort_by_key(|(number, _)| *number);
    let distinct: BTreeSet<_> = told.iter().map(|(_, (id, _))| *id).collect();
    assert_eq!(distinct.len(), ids.len());
    told.into_iter().map(|(_, told)| told).collect()
}

/// A call with a request id of its own.
fn named(number: usize) -> RequestContext {
    RequestContext {
        request: Some(Request {
            id: RequestId(Uuid::from_u128(number as u128)),
            method: "Promote",
            fingerprint: b"the same".to_vec(),
        }),
        ..call()
    }
}

const CALLERS: usize = 30;
