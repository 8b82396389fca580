//! A caller that goes: what it asked for is given up, and holds up nobody.

use rstest::rstest;

use crate::harness::{
    Engine, METRICS, REFERENCE, RowLock, Server, TestEnv, eventually, manual, pause, within,
};

#[derive(Clone, Copy)]
enum CallerExit {
    /// It cancels the call.
    Cancels,
    /// Its connection is gone.
    Disconnects,
}

#[rstest]
#[case::sqlite_cancels(Engine::Sqlite, CallerExit::Cancels)]
#[case::sqlite_disconnects(Engine::Sqlite, CallerExit::Disconnects)]
#[case::postgres_cancels(Engine::Postgres, CallerExit::Cancels)]
#[case::postgres_disconnects(Engine::Postgres, CallerExit::Disconnects)]
#[tokio::test]
async fn work_stops_when_the_caller_has_gone(#[case] engine: Engine, #[case] exit: CallerExit) {
    let env = TestEnv::on(Server::start_with(engine, &METRICS).await).await;
    let before = env.serving(1, manual()).await;
    let hold = RowLock::all_deployments(env.server.database()).await;
    let other = env.server.api().await;
    let calling = tokio::spawn({
        let api = match exit {
            CallerExit::Cancels => env.api.clone(),
            CallerExit::Disconnects => env.server.api().await,
        };
        async move { api.pause(pause(REFERENCE)).await }
    });
    eventually("the call to wait", async || {
        let metrics = env.server.metrics().await;
        let begun = metrics.value(&series("viridian_rpc_started_total", ""));
        let blocked = hold.others_that_wait().await;
        (begun == 1.0 && blocked != Some(0)).then_some(())
    })
    .await;

    calling.abort();
    within("the end of the call", calling)
        .await
        .expect_err("gone");
    eventually("the work to stop", async || {
        let metrics = env.server.metrics().await;
        let cancelled = series("viridian_rpc_handled_total", r#",code="CANCELLED""#);
        (metrics.value(&cancelled) == 1.0).then_some(())
    })
    .await;
    // While it is still held: nothing waits for it any more.
    eventually("the end of its transaction", async || {
        let blocked = hold.others_in_transactions().await;
        (blocked.unwrap_or_default() == 0).then_some(())
    })
    .await;
    hold.release().await;

    let paused = other
        .pause(pause(REFERENCE))
        .await
        .expect("nobody holds it");
    assert!(paused.paused);
    assert_eq!(paused.generation, before.generation + 1, "it was done once");
}

/// A series of the method that is called.
fn series(name: &str, more: &str) -> String {
    let method = "viridian.deployment.v1.DeploymentService/PauseDeployment";
    format!(r#"{name}{{method="{method}"{more}}}"#)
}
