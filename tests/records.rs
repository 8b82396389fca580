//! Records: databases that earlier programs left are opened, read the same, and
//! are played on to their ends. `records/README.md` says what they have.

mod course;
mod record;

use std::{collections::HashMap, time::Duration};

use futures::{StreamExt as _, stream};
use rstest::rstest;
use rstest_reuse::apply;
use viridian_proto::v1::{
    Deployment, DeploymentSubStep, ListRevisionsRequest, PromoteDeploymentRequest,
    RollbackDeploymentRequest,
};

use self::{
    course::{Course, Step},
    record::{Record, generations},
};
use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, GROUP, ScriptedScheduler, Server, abort, behind, finish, promotion, resume,
        roll_back, viridian,
    },
};

/// The server comes back before anything is due.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_program_left_is_read_and_goes_on(#[case] engine: Engine) {
    for generation in generations() {
        let record = Record::read(&generation, engine);
        let server = record.open(SOON).await;
        let api = server.api().await;
        record.has_the_same(&api).await;
        record.policies_keep_what_they_say(&api).await;
        record.replies_are_the_same(&api).await;
        record.pages_go_on(&api).await;
        for watch in record.watches() {
            let mut events = api.follow(behind(watch.token())).await.expect("a watch");
            for expected in watch.events() {
                watch.is_next(expected, &events.event().await);
            }
        }
        invariants_hold(&record, &server, SOON).await;

        let _scheduler = ScriptedScheduler::start(&api, GROUP);
        play(&api, &record, course::soon).await;
        invariants_hold(&record, &server, SOON).await;
    }
}

/// The server comes back after every deadline.
#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_an_earlier_program_left_goes_on_after_a_long_stop(#[case] engine: Engine) {
    for generation in generations() {
        let record = Record::read(&generation, engine);
        let server = record.open(LATE).await;
        let api = server.api().await;
        // Those whose deadline passed meanwhile turn back before a scheduler is there.
        for (name, id) in record.deployments() {
            if course::late(name).turns_back {
                let turned_back = |it: &Deployment| {
                    use DeploymentSubStep::{AwaitingPromotion, Provisioning};
                    ![Provisioning, AwaitingPromotion].contains(&it.sub_step())
                };
                api.until(id, name, turned_back).await;
            }
        }
        let _scheduler = ScriptedScheduler::start(&api, GROUP);
        play(&api, &record, course::late).await;
        invariants_hold(&record, &server, LATE).await;
    }
}

/// Plays each deployment on to its end.
async fn play(api: &Api, record: &Record, course: fn(&str) -> Course) {
    let each = record.deployments().map(|(name, id)| async move {
        let Course { steps, end, .. } = course(name);
        for step in steps {
            take(api, name, id, *step).await;
        }
        let number = numbers(api, id).await;
        let is_so = |it: &Deployment| end.is_reached(it, &number);
        api.until(id, &format!("the end of {name}"), is_so).await;
    });
    stream::iter(each).buffer_unordered(8).collect::<()>().await;
}

async fn take(api: &Api, name: &str, id: &str, step: Step) {
    match step {
        Step::Deploy => {
            let deployed = api.create_revision(id, true).await;
            deployed.expect("a revision is activated");
        }
        Step::Promote => {
            let at_gate = |it: &Deployment| it.sub_step() == DeploymentSubStep::AwaitingPromotion;
            let deployment = api.until(id, &format!("the gate of {name}"), at_gate).await;
            let promoted = api.promote(PromoteDeploymentRequest {
                expected_revision: deployment.deploying_revision_id,
                ..promotion(id)
            });
            promoted.await.expect("it is promoted");
        }
        Step::Abort => {
            let aborted = api.deployments().abort_deployment(abort(id)).await;
            aborted.expect("it is aborted");
        }
        Step::Resume => {
            let resumed = api.deployments().resume_deployment(resume(id)).await;
            resumed.expect("it is resumed");
        }
        Step::RollBackAtOnce => {
            let request: RollbackDeploymentRequest = roll_back(id);
            let reply = api.deployments().rollback_deployment(request).await;
            let reply = reply.expect("it is rolled back").into_inner();
            assert!(reply.instant, "enough routes were retained: {reply:?}");
        }
    }
}

/// The numbers of a deployment's revisions, by their ids.
async fn numbers(api: &Api, id: &str) -> HashMap<String, i64> {
    let request = ListRevisionsRequest {
        deployment: id.to_owned(),
        ..ListRevisionsRequest::default()
    };
    let revisions = api.deployments().list_revisions(request).await;
    let revisions = revisions.expect("they are listed").into_inner().revisions;
    revisions.into_iter().map(|it| (it.id, it.number)).collect()
}

async fn invariants_hold(record: &Record, server: &Server, after: Duration) {
    let mut check = viridian(&["check", "--database", server.database().url()]);
    record.set_clock(&mut check, after);
    let check = finish(check).await;
    assert_eq!(check.code, Some(0), "{check:?}");
}

/// Before anything is due.
const SOON: Duration = Duration::from_secs(1);

/// After every deadline, and before events are pruned.
const LATE: Duration = Duration::from_secs(3 * 24 * 60 * 60);
