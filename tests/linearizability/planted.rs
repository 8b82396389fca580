//! The checker finds what it is there for: violations that are made up, that are planted in the
//! history of a real run, and that a real server commits on a database that lost something.

use std::{fs, path::Path};

use rstest::rstest;
use viridian_proto::v1::DeploymentLifecycle;

use super::{
    call::{Answer, DeploymentCall, Operation, Shown},
    checker::{TimedCall, Verdict, check},
    history::History,
    model::{DeploymentModel, NameState},
    run::{CALLS, ClientRun, CuttableServers},
};
use crate::harness::{Engine, TestDatabase};

type Calls = Vec<TimedCall<DeploymentCall>>;

#[rstest]
#[case::one_after_the_other(vec![created(0..1), get(2..3, at(1, 1)), updated(4..5, at(2, 2)), get(6..7, at(2, 2))])]
#[case::at_the_same_time(vec![created(0..1), updated(2..9, at(2, 2)), get(3..4, at(2, 2)), get(3..8, at(1, 1))])]
#[case::an_unanswered_call_took_effect(vec![created(0..1), unknown(2, update()), get(3..4, at(1, 1)), get(9..10, at(2, 2))])]
#[case::an_unanswered_call_took_none(vec![created(0..1), unknown(2, update()), get(3..4, at(1, 1)), get(9..10, at(1, 1))])]
#[case::a_repeat_gets_the_first_reply(vec![created(0..1), request(7, unknown(2, update())), get(3..4, at(2, 2)), request(7, updated(5..6, at(2, 2)))])]
#[case::a_promotion(vec![created(0..1), deployed(2..3, 2), promoted(4..5, None, 3, 2), refused(6..7, promote(None), "NOT_DEPLOYING")])]
#[case::a_deleted_name(vec![created(0..1), deleted(2..3), refused(4..5, Operation::Get, "DEPLOYMENT_NOT_FOUND")])]
fn a_history_that_can_be_explained_is_linearizable(#[case] calls: Calls) {
    assert_eq!(verdict(&calls), Verdict::Linearizable);
}

#[rstest]
#[case::a_lost_write(vec![created(0..1), updated(2..3, at(2, 2)), get(4..5, at(1, 1))])]
#[case::a_lost_creation(vec![created(0..1), refused(2..3, Operation::Get, "DEPLOYMENT_NOT_FOUND")])]
#[case::a_stale_read(vec![created(0..1), updated(2..9, at(2, 2)), get(3..4, at(2, 2)), get(5..6, at(1, 1))])]
#[case::a_lower_sequence(vec![created(0..1), get(2..3, later(5, at(1, 1))), get(4..5, later(4, at(1, 1)))])]
#[case::a_write_of_nobody(vec![created(0..1), get(2..3, at(2, 2))])]
#[case::a_double_promotion(vec![created(0..1), deployed(2..3, 2), promoted(4..8, None, 3, 2), promoted(5..9, None, 3, 2)])]
#[case::a_promotion_of_what_was_not_expected(vec![created(0..1), deployed(2..3, 2), promoted(4..5, Some(3), 3, 2)])]
#[case::a_promotion_of_nothing(vec![created(0..1), promoted(2..3, None, 2, 1)])]
#[case::a_stale_generation_that_was_accepted(vec![created(0..1), updated(2..3, at(2, 2)), expecting(1, updated(4..5, at(3, 2)))])]
#[case::a_request_that_took_effect_twice(vec![created(0..1), request(7, unknown(2, update())), get(3..4, at(2, 2)), request(7, updated(5..6, at(3, 2)))])]
#[case::a_repeat_with_another_reply(vec![created(0..1), request(7, updated(2..3, at(2, 2))), deployed_at(4..5, 3, 2, 2), request(7, updated(6..7, at(3, 2)))])]
#[case::a_refusal_for_no_reason(vec![created(0..1), deployed(2..3, 2), refused(4..5, promote(None), "NOT_DEPLOYING")])]
#[case::a_deleted_name_that_is_read(vec![created(0..1), deleted(2..3), get(4..5, at(1, 1))])]
#[case::another_deployment_of_that_name(vec![created(0..1), get(2..3, Shown { id: "other".to_owned(), ..at(1, 1) })])]
fn a_planted_violation_is_found(#[case] calls: Calls) {
    let verdict = verdict(&calls);
    assert!(matches!(verdict, Verdict::Violation(_)), "{verdict:?}");
}

/// As when a server is killed under many callers, who try again: each request may have taken
/// effect once, at any attempt. The search comes to an end all the same.
#[rstest]
#[case::as_many_as_there_are_requests(8, true)]
#[case::one_more(9, false)]
fn many_attempts_without_an_answer_are_decided(#[case] seen: i64, #[case] explained: bool) {
    let attempts =
        (1..=7).flat_map(|number| [2, 3, 4].map(|start| request(number, unknown(start, update()))));
    let mut calls = vec![created(0..1)];
    calls.extend(attempts);
    calls.push(get(9..10, at(seen, 2)));
    match verdict(&calls) {
        Verdict::Linearizable => assert!(explained),
        Verdict::Violation(why) => assert!(!explained, "{why}"),
        Verdict::Undecided => panic!("the search was given up"),
    }
}

/// Each answer to a read of a real run is replaced by what an earlier answer showed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stale_answer_planted_in_a_real_history_is_found() {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let servers = CuttableServers::start(database.url(), 1).await;
    let run = ClientRun::start(servers.urls(), 0);
    run.has_answers(CALLS).await;
    let history = run.end().await;
    assert_eq!(history.violation(), None);
    let mut planted = 0;
    for (name, calls) in &history.0 {
        for (index, read) in reads(calls) {
            let Some(stale) = stale_answer(calls, &calls[index], read) else {
                continue;
            };
            // A tenth of them: each is a search.
            planted += 1;
            if planted % 10 != 1 {
                continue;
            }
            let mut altered = calls.clone();
            altered[index].call.answer = Answer::Done(stale);
            let altered = History([(name.clone(), altered)].into());
            assert!(altered.violation().is_some(), "{:?}", calls[index]);
        }
    }
    assert!(planted > 10, "{planted}");
}

/// The file is put back to what it was a moment before, behind the back of all.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_lost_what_was_acknowledged_is_found() {
    let database = TestDatabase::create(Engine::Sqlite).await;
    let path = Path::new(database.url().trim_start_matches("sqlite:"));
    let folder = path.parent().expect("a folder");
    let mut servers = CuttableServers::start(database.url(), 1).await;
    // An agent would notice that routes are gone.
    let run = ClientRun::without_agent(servers.urls(), 0);
    run.has_answers(CALLS / 3).await;
    let copy = tempfile::tempdir().expect("a temporary folder");
    servers.without(0, || copy_files(folder, copy.path())).await;
    run.has_answers(2 * CALLS / 3).await;
    servers.without(0, || copy_files(copy.path(), folder)).await;
    run.has_answers(CALLS).await;
    let violation = run.end().await.violation();
    assert!(violation.is_some(), "a third of all writes is gone");
}

fn copy_files(from: &Path, to: &Path) {
    for file in fs::read_dir(from).expect("a folder") {
        let file = file.expect("a file");
        fs::copy(file.path(), to.join(file.file_name())).expect("it is copied");
    }
}

fn reads(calls: &Calls) -> impl Iterator<Item = (usize, &Shown)> {
    let read = |(index, it): (usize, &'_ TimedCall<DeploymentCall>)| {
        let is_read = it.call.operation == Operation::Get;
        is_read.then_some(index)
    };
    let reads = calls.iter().enumerate().filter_map(read);
    reads.filter_map(|index| Some((index, calls[index].call.answer.shown()?)))
}

/// What a call showed that had its answer before the read began, and before a change that the
/// read shows.
fn stale_answer(calls: &Calls, read: &TimedCall<DeploymentCall>, shown: &Shown) -> Option<Shown> {
    // Something that someone knew before the read began, of the same deployment.
    let known = calls
        .iter()
        .filter(|it| it.end.is_some_and(|end| end < read.start));
    let known = known.filter_map(|it| it.call.answer.shown());
    let of_it = |it: &&Shown| it.id == shown.id;
    let newest = known.clone().filter(of_it).map(|it| it.generation).max()?;
    let stale = known.filter(of_it).find(|it| it.generation < newest);
    stale.cloned()
}

fn verdict(calls: &Calls) -> Verdict {
    check(&DeploymentModel, &NameState::default(), calls)
}

fn timed(
    span: std::ops::Range<u64>,
    operation: Operation,
    answer: Answer,
) -> TimedCall<DeploymentCall> {
    TimedCall {
        start: span.start,
        end: (answer != Answer::Unknown).then_some(span.end),
        call: DeploymentCall {
            client: 0,
            request: 0,
            operation,
            expected_generation: None,
            answer,
        },
    }
}

/// The deployment of these histories, at a generation and with a mark. READY, since it may be.
fn at(generation: i64, mark: u64) -> Shown {
    Shown {
        id: "it".to_owned(),
        generation,
        sequence: 10 * generation,
        lifecycle: DeploymentLifecycle::Ready,
        current: 1,
        deploying: 0,
        target: 1,
        mark,
        paused: false,
    }
}

fn later(sequence: i64, shown: Shown) -> Shown {
    Shown { sequence, ..shown }
}

fn created(span: std::ops::Range<u64>) -> TimedCall<DeploymentCall> {
    let shown = Shown {
        lifecycle: DeploymentLifecycle::Pending,
        sequence: 1,
        ..at(1, 1)
    };
    let operation = Operation::Create { target: 1, mark: 1 };
    timed(span, operation, Answer::Done(shown))
}

fn get(span: std::ops::Range<u64>, shown: Shown) -> TimedCall<DeploymentCall> {
    timed(span, Operation::Get, Answer::Done(shown))
}

fn update() -> Operation {
    Operation::Update {
        target: None,
        mark: 2,
    }
}

fn updated(span: std::ops::Range<u64>, shown: Shown) -> TimedCall<DeploymentCall> {
    timed(span, update(), Answer::Done(shown))
}

fn deployed(span: std::ops::Range<u64>, generation: i64) -> TimedCall<DeploymentCall> {
    deployed_at(span, generation, 2, 1)
}

fn deployed_at(
    span: std::ops::Range<u64>,
    generation: i64,
    revision: i64,
    mark: u64,
) -> TimedCall<DeploymentCall> {
    let shown = Shown {
        lifecycle: DeploymentLifecycle::Deploying,
        deploying: revision,
        ..at(generation, mark)
    };
    let operation = Operation::Deploy { supersede: false };
    timed(span, operation, Answer::Done(shown))
}

fn promote(expected: Option<i64>) -> Operation {
    Operation::Promote { expected }
}

fn promoted(
    span: std::ops::Range<u64>,
    expected: Option<i64>,
    generation: i64,
    current: i64,
) -> TimedCall<DeploymentCall> {
    let shown = Shown {
        current,
        ..at(generation, 1)
    };
    timed(span, promote(expected), Answer::Done(shown))
}

fn deleted(span: std::ops::Range<u64>) -> TimedCall<DeploymentCall> {
    let shown = Shown {
        lifecycle: DeploymentLifecycle::Destroying,
        ..at(2, 1)
    };
    timed(span, Operation::Delete, Answer::Done(shown))
}

fn refused(
    span: std::ops::Range<u64>,
    operation: Operation,
    reason: &str,
) -> TimedCall<DeploymentCall> {
    timed(span, operation, Answer::Refused(reason.to_owned()))
}

fn unknown(start: u64, operation: Operation) -> TimedCall<DeploymentCall> {
    timed(start..u64::MAX, operation, Answer::Unknown)
}

fn request(number: u32, call: TimedCall<DeploymentCall>) -> TimedCall<DeploymentCall> {
    let call_of_it = DeploymentCall {
        request: number,
        ..call.call
    };
    TimedCall {
        call: call_of_it,
        ..call
    }
}

fn expecting(generation: i64, call: TimedCall<DeploymentCall>) -> TimedCall<DeploymentCall> {
    let call_of_it = DeploymentCall {
        expected_generation: Some(generation),
        ..call.call
    };
    TimedCall {
        call: call_of_it,
        ..call
    }
}
