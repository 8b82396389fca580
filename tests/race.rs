//! Sixty-four callers promote one deployment at once. One of them does, and at
//! no moment anyone sees two revisions with traffic, or fewer routes than there
//! ought to be.

use std::{
    collections::BTreeSet,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use rstest::rstest;
use rstest_reuse::apply;
use tokio::{sync::Barrier, task::JoinSet};
use tonic::{Code, Status};
use viridian_proto::v1::{
    Deployment, DeploymentLifecycle, DeploymentPolicy, DeploymentSubStep,
    PromoteDeploymentResponse, ReplicaCounts, Route, RouteStatus, RouteTrafficStatus, TrafficTable,
};

use crate::{
    engines::both_engines,
    harness::{
        Api, Engine, REFERENCE, TableStream, TestEnv, active, by_revision, ids, manual, promotion,
        refused, seconds, within,
    },
};

#[apply(both_engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_64_callers_one_promotes_and_nobody_sees_it_half_done(#[case] engine: Engine) {
    let env = TestEnv::start(engine).await;
    // Blue stays TERMINATING for as long as the test looks at it.
    let policy = DeploymentPolicy {
        drain_grace: seconds(600.0),
        ..manual()
    };
    env.serving(REPLICAS, policy).await;
    let callers = callers(&env).await;
    for _ in 0..ROUNDS {
        round(&env, &callers).await;
    }
}

async fn round(env: &TestEnv, callers: &[Api]) {
    let before = env.bring_up().await;
    let blue = env.routes_of(&before.current_revision_id).await;
    let green = env.routes_of(&before.deploying_revision_id).await;
    let blue = active(&blue);
    assert_eq!((blue.len(), green.len()), (COUNT, COUNT));

    let over = Arc::new(AtomicBool::new(false));
    let poller = tokio::spawn(poll_routes(env.api.clone(), Arc::clone(&over)));
    let mut tables = env.api.watch(REFERENCE).await;
    let first = tables.next().await.expect("the present table");
    let colours = Colours {
        blue: (before.current_revision_id.clone(), ids(&blue)),
        green: (before.deploying_revision_id.clone(), ids(&green)),
    };
    assert_eq!(colours.revision_of(&first), before.current_revision_id);
    let watcher = tokio::spawn(follow(tables, first.epoch, colours));

    let replies = promote_at_once(callers).await;
    let last = within("the new table", watcher).await;
    over.store(true, Ordering::Relaxed);
    let looks = within("the poller", poller)
        .await
        .expect("it saw no mixture");

    let reply = one_of(replies);
    assert_eq!(BTreeSet::from_iter(reply.promoted_route_ids), ids(&green));
    assert_eq!(BTreeSet::from_iter(reply.drained_route_ids), ids(&blue));
    let epoch = last.expect("the watcher saw no mixture");
    assert!(looks > 0, "the poller looked");
    switched(env, &before, epoch).await;
}

/// Asserts what is so after the promotion of what was at its gate before.
async fn switched(env: &TestEnv, before: &Deployment, epoch: i64) {
    let after = env.get().await;
    assert_eq!(after.lifecycle(), DeploymentLifecycle::Ready);
    assert_eq!(after.sub_step(), DeploymentSubStep::Unspecified);
    assert_eq!(after.deploying_revision_id, "");
    assert_eq!(after.current_revision_id, before.deploying_revision_id);
    assert_eq!(after.generation, before.generation + 1);
    assert_eq!(after.epoch, epoch);
    assert_eq!(after.green, Some(ReplicaCounts::default()));
    let blue = after.blue.expect("counts");
    assert_eq!((blue.ready, blue.active_traffic), (REPLICAS, REPLICAS));

    let routes = env.routes().await;
    for route in by_revision(&routes, &before.current_revision_id) {
        assert_eq!(route.status(), RouteStatus::Terminating, "{route:?}");
        assert_eq!(route.traffic_status(), RouteTrafficStatus::Inactive);
        assert!(route.traffic_ratio == 0.0, "{route:?}");
    }
    for route in by_revision(&routes, &before.deploying_revision_id) {
        assert_eq!(route.status(), RouteStatus::Running, "{route:?}");
        assert_eq!(route.traffic_status(), RouteTrafficStatus::Active);
        assert!(route.traffic_ratio == 1.0, "{route:?}");
    }
}

/// A channel of its own for each.
async fn callers(env: &TestEnv) -> Vec<Api> {
    let mut connecting = JoinSet::new();
    for _ in 0..CALLERS {
        let url = env.server.url();
        connecting.spawn(async move { Api::connect(&url).await });
    }
    connecting.join_all().await
}

type Reply = Result<PromoteDeploymentResponse, Status>;

async fn promote_at_once(callers: &[Api]) -> Vec<Reply> {
    let start = Arc::new(Barrier::new(callers.len()));
    let mut calling = JoinSet::new();
    for caller in callers {
        let (caller, start) = (caller.clone(), Arc::clone(&start));
        calling.spawn(async move {
            start.wait().await;
            caller.promote(promotion(REFERENCE)).await
        });
    }
    within("all replies", calling.join_all()).await
}

/// The one reply that is no refusal. The others are the right refusal.
fn one_of(replies: Vec<Reply>) -> PromoteDeploymentResponse {
    assert_eq!(replies.len(), CALLERS);
    let (promoted, refusals): (Vec<_>, Vec<_>) = replies.into_iter().partition(Result::is_ok);
    for refusal in refusals.iter().filter_map(|reply| reply.as_ref().err()) {
        let details = refused(refusal, Code::FailedPrecondition, "NOT_DEPLOYING");
        let failure = details
            .precondition_failure()
            .expect("a PreconditionFailure");
        assert_eq!(failure.violations.len(), 1, "{refusal:?}");
        assert_eq!(failure.violations[0].subject, REFERENCE);
    }
    assert_eq!((promoted.len(), refusals.len()), (1, CALLERS - 1));
    let reply = promoted.into_iter().next().expect("there is one");
    reply.expect("it is no refusal")
}

/// Looks at all routes again and again. Gives how often.
async fn poll_routes(api: Api, over: Arc<AtomicBool>) -> u64 {
    let mut looks = 0;
    while !over.load(Ordering::Relaxed) {
        let active = active(&api.list_routes(REFERENCE).await);
        let revisions: BTreeSet<_> = active.iter().map(|route| &route.revision_id).collect();
        assert_eq!(revisions.len(), 1, "ACTIVE routes are mixed: {active:#?}");
        assert_eq!(active.len(), COUNT, "all of one colour: {active:#?}");
        let whole = |route: &Route| route.traffic_ratio == 1.0;
        assert!(active.iter().all(whole), "{active:#?}");
        looks += 1;
    }
    looks
}

/// The routes of both colours, by the revision of each.
struct Colours {
    blue: (String, BTreeSet<String>),
    green: (String, BTreeSet<String>),
}

impl Colours {
    /// The revision that a table is of. Asserts that it is of that one only, and
    /// whole.
    fn revision_of(&self, table: &TrafficTable) -> String {
        let listed: BTreeSet<_> = table
            .endpoints
            .iter()
            .map(|endpoint| endpoint.route_id.clone())
            .collect();
        let (revision, _) = [&self.blue, &self.green]
            .into_iter()
            .find(|(revision, routes)| *revision == table.revision_id && *routes == listed)
            .unwrap_or_else(|| panic!("a table that is neither blue nor green: {table:#?}"));
        revision.clone()
    }
}

/// Follows the tables until green has the traffic. Gives the epoch of that one.
async fn follow(mut tables: TableStream, mut epoch: i64, colours: Colours) -> i64 {
    loop {
        let table = tables.next().await.expect("the watch goes on");
        assert!(table.epoch > epoch, "epochs only rise: {table:?}");
        epoch = table.epoch;
        if colours.revision_of(&table) == colours.green.0 {
            return epoch;
        }
    }
}

const CALLERS: usize = 64;
const ROUNDS: usize = 3;
const REPLICAS: i32 = 4;
const COUNT: usize = 4;
