//! The contract as a whole: every method with its refusals, over a real channel,
//! on both engines.
//!
//! To add a refusal, add a case to `cases`. docs/api.md lists what the cases say;
//! `VIRIDIAN_WRITE_DOCS=1` rewrites it.

mod case;
mod cases;
mod contract_env;
mod document;
mod everywhere;

use std::{collections::BTreeSet, rc::Rc};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::task::{JoinSet, LocalSet, spawn_local};

use self::case::{Case, MethodOutcome};
use crate::{
    engines::both_engines,
    harness::{Engine, TestEnv, methods},
};

#[apply(both_engines)]
#[tokio::test]
async fn every_call_ends_as_the_contract_says(#[case] engine: Engine) {
    let env = Rc::new(TestEnv::start(engine).await);
    let failed = LocalSet::new().run_until(run_all(env)).await;
    assert!(failed.is_empty(), "{} failed: {failed:#?}", failed.len());
}

/// Runs all cases, some at the same time. Gives those that failed; each has said
/// why.
async fn run_all(env: Rc<TestEnv>) -> Vec<String> {
    let mut waiting = cases::all().into_iter().enumerate();
    let mut running = JoinSet::new();
    let mut failed = Vec::new();
    loop {
        while running.len() < AT_ONCE
            && let Some((number, case)) = waiting.next()
        {
            let (env, name) = (Rc::clone(&env), title(&case));
            running.spawn_local(async move {
                let run = spawn_local(async move { case.run(&env, number).await });
                run.await.is_err().then_some(name)
            });
        }
        match running.join_next().await {
            Some(outcome) => failed.extend(outcome.expect("it is not cancelled")),
            None => return failed,
        }
    }
}

#[test]
fn every_method_has_cases() {
    let cases = cases::all();
    let mut titles = BTreeSet::new();
    for case in &cases {
        assert!(titles.insert(title(case)), "twice: {}", title(case));
    }
    for method in methods() {
        let mut of_it = cases.iter().filter(|it| it.method == method.name());
        let done = of_it
            .clone()
            .any(|it| matches!(it.outcome, MethodOutcome::Done(_)));
        let refused = of_it.any(|it| matches!(it.outcome, MethodOutcome::Refused { .. }));
        // A request without fields has none that could be wrong.
        let can_be_refused = method.input().fields().len() > 0;
        assert!(done && (refused || !can_be_refused), "{}", method.name());
    }
}

fn title(case: &Case) -> String {
    format!("{}: {}", case.method, case.name)
}

const AT_ONCE: usize = 8;
