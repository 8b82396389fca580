//! Two servers on one PostgreSQL database: neither leads, and each sees what the
//! other does.

use tokio::task::JoinSet;
use tonic::Code;

use crate::harness::{Engine, REFERENCE, TestEnv, eventually, manual, promotion, refused, within};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promotion_at_one_reaches_the_proxies_of_the_other() {
    let env = TestEnv::start(Engine::Postgres).await;
    let second = env.server.beside().await;
    let other = second.api().await;
    let gate = env.at_gate(2, manual()).await;
    let mut tables = other.watch(REFERENCE).await;
    let blue = tables.next().await.expect("the present table");
    assert_eq!(blue.revision_id, gate.current_revision_id);

    let mut calling = JoinSet::new();
    for number in 0..32 {
        let api = [&env.api, &other][number % 2].clone();
        calling.spawn(async move { api.promote(promotion(REFERENCE)).await });
    }
    let replies = within("all replies", calling.join_all()).await;
    let refusals: Vec<_> = replies.iter().filter_map(|it| it.as_ref().err()).collect();
    assert_eq!(refusals.len(), 31);
    for refusal in refusals {
        refused(refusal, Code::FailedPrecondition, "NOT_DEPLOYING");
    }
    let green = tables.next().await.expect("the new table");
    assert_eq!(green.revision_id, gate.deploying_revision_id);
    assert!(green.epoch > blue.epoch);
    // What was drained may end between two looks.
    eventually("both to say the same", async || {
        let (one, two) = (env.get().await, other.get(REFERENCE).await);
        (one == two).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_goes_on_with_what_the_other_began() {
    let env = TestEnv::start(Engine::Postgres).await;
    let second = env.server.beside().await;
    let other = second.api().await;
    env.serving(2, manual()).await;
    let deploying = env.deploy().await;
    let fleet = crate::harness::ScriptedScheduler::start(&other, crate::harness::GROUP);
    // Its fleet goes on too, by way of the second server.
    let TestEnv { server, .. } = env;
    let _database = server.killed();
    let gate = other
        .until(REFERENCE, "the gate", |it| {
            it.green.unwrap_or_default().ready == 2 && !it.blockers.is_empty()
        })
        .await;
    assert_eq!(gate.deploying_revision_id, deploying.deploying_revision_id);
    let promoted = other.promote(promotion(REFERENCE)).await.expect("promoted");
    assert_eq!(promoted.promoted_route_ids.len(), 2);
    drop(fleet);
}
