//! The connection to PostgreSQL is cut at a COMMIT. Whether it was done, the
//! caller cannot know; by the request id, it is done once.
//!
//! `VIRIDIAN_CUTS` says how many rounds there are.

use std::fmt::Debug;

use rstest::rstest;
use uuid::Uuid;
use viridian_strategy::DeploymentId;

use super::{
    chance::{count, tell},
    cutter::{Cut, Cutter},
    fixture::{Engine, Fixture, amend, call, manual, new_deployment},
    invariants,
};
use crate::{
    Deployment, NewDeployment, Request, RequestContext, RequestId, Store, StoreError, UnitError,
};

#[rstest]
#[case::before(Cut::Before)]
#[case::unanswered(Cut::Unanswered)]
#[case::at_once(Cut::AtOnce)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_call_whose_commit_is_cut_is_done_once(#[case] cut: Cut) {
    let fixture = Fixture::new(Engine::Postgres).await;
    let cutter = Cutter::before(&fixture.url).await;
    let db = Store::open(&cutter.url).await.expect("it opens");
    let rounds = count("VIRIDIAN_CUTS", 20);
    let mut told = 0;
    for _ in 0..rounds {
        for method in ["Create", "Update", "Promote"] {
            let (id, _) = fixture.at_the_gate(1, manual()).await;
            let terms = terms(method);
            let footprint = fixture.footprint().await;
            cutter.arm(cut);
            let first = ask(&db, method, id, &terms).await;
            assert!(cutter.has_cut(), "{method} has sent no COMMIT");
            match (&first, cut) {
                (Ok(_), Cut::Unanswered | Cut::AtOnce) => told += 1,
                (Err(StoreError::Unavailable(_)), Cut::Before) => {
                    assert_eq!(fixture.footprint().await, footprint, "{method}");
                }
                (Err(StoreError::Unavailable(_)), Cut::AtOnce | Cut::Silent) => {}
                _ => panic!("{method}, cut {cut:?}: {first:?}"),
            }
            let again = ask(&db, method, id, &terms).await;
            let again = again.expect("the retry gets a reply");
            if let Ok(first) = first {
                assert_eq!(first, again, "{method}");
            }
            assert_eq!(times(&fixture, &terms).await, 1, "{method}");
            let third = ask(&db, method, id, &terms).await;
            assert_eq!(third.expect("the same reply"), again);
        }
    }
    invariants::hold(&fixture).await;
    tell(&format!(
        "{} calls were cut, {cut:?}: {told} got the reply all the same, each was done once",
        3 * rounds
    ));
}

/// Makes a call, about a deployment at its gate.
async fn ask(
    db: &Store,
    method: &str,
    id: DeploymentId,
    terms: &RequestContext,
) -> Result<Deployment, StoreError> {
    match method {
        "Create" => {
            let created = db.create_deployment(new(terms), terms).await;
            created.map(|it| it.deployment).map_err(failure)
        }
        "Update" => {
            let update = amend(move |it| it.target_replicas = 2);
            let updated = db.update_deployment(id, update, terms).await;
            updated.map(|it| it.deployment).map_err(failure)
        }
        _ => {
            let promoted = db.complete_manual_promote(id, None, terms).await;
            promoted.map(|it| it.deployment).map_err(failure)
        }
    }
}

fn new(terms: &RequestContext) -> NewDeployment {
    let request = terms.request.as_ref().expect("it has one");
    new_deployment("p", &request.id.0.to_string())
}

fn terms(method: &'static str) -> RequestContext {
    let request = Request {
        id: RequestId(Uuid::now_v7()),
        method,
        fingerprint: b"the same".to_vec(),
    };
    RequestContext {
        request: Some(request),
        ..call()
    }
}

/// Whatever else it is, it is not what a cut comes to.
fn failure<R: Debug>(error: UnitError<R>) -> StoreError {
    match error {
        UnitError::Store(error) => error,
        error => panic!("{error:?}"),
    }
}

/// How often history has a request.
async fn times(fixture: &Fixture, terms: &RequestContext) -> i64 {
    let request = terms.request.as_ref().expect("it has one");
    let query = format!(
        "SELECT COUNT(*) AS n FROM history WHERE request_id = '{}'",
        request.id.0
    );
    fixture.number(&query).await
}
