//! A canary by the store alone: its steps and its shares, what ends it, and what it writes. By a
//! clock that stands, so that a hold is over when a test says so.

mod ends;
mod life;
mod shares;
mod writes;

use std::time::Duration;

use viridian_strategy::{
    BlueGreen, Canary, CanaryProgress, CanaryStep, DeploymentId, IntOrPercent, Policy, RevisionId,
    RouteHealth, RouteId, RouteStatus, RouteTraffic, Strategy, SubStep,
};

use super::{
    fixture::{Engine, Fixture, amend, call, with_request},
    invariants,
    virtual_time::VirtualTime,
};
use crate::{
    AdvanceOptions, AdvanceRefusal, Deployment, Operation, Projects, Tables, TrafficTable,
    UnitError, Updated,
};

/// A deployment with a canary, at a time that a test puts forward.
struct CanaryRun {
    time: VirtualTime,
    fixture: Fixture,
    id: DeploymentId,
    blue: RevisionId,
}

impl CanaryRun {
    /// READY, with this many routes.
    async fn ready(engine: Engine, n: u32, policy: Policy) -> Self {
        let (time, fixture) = VirtualTime::new(engine).await;
        let id = fixture.ready(n, policy).await;
        let blue = fixture.get(id).await.state.current().expect("it serves");
        Self {
            time,
            fixture,
            id,
            blue,
        }
    }

    /// With a second revision that has the share of its first step.
    async fn at_first_step(
        engine: Engine,
        n: u32,
        steps: impl IntoIterator<Item = CanaryStep>,
    ) -> Self {
        let run = Self::ready(engine, n, canary(steps)).await;
        run.deploy().await;
        run.bring_up().await;
        assert_eq!(run.sub_step().await, Some(SubStep::Shifting));
        run
    }

    async fn deploy(&self) -> RevisionId {
        self.fixture.deploy(self.id).await
    }

    /// All that was created starts and is healthy.
    async fn bring_up(&self) {
        self.fixture.bring_up(self.id, RouteHealth::Healthy).await;
    }

    /// Puts the clock forward, and looks at what is due.
    async fn pass(&mut self, seconds: u64) {
        self.time.pass(secs(seconds)).await;
        self.fixture.settle().await;
    }

    async fn get(&self) -> Deployment {
        self.fixture.get(self.id).await
    }

    async fn sub_step(&self) -> Option<SubStep> {
        self.get().await.state.sub_step()
    }

    async fn progress(&self) -> CanaryProgress {
        self.get().await.state.rollout().expect("DEPLOYING").canary
    }

    async fn green(&self) -> RevisionId {
        self.get().await.state.deploying().expect("DEPLOYING")
    }

    /// The routes of green that were not taken away.
    async fn green_routes(&self) -> Vec<RouteId> {
        let green = self.green().await;
        let routes = self.fixture.routes(self.id).await;
        let live = routes.iter().map(|route| route.view);
        let live = live.filter(|view| view.revision == green && view.is_live());
        live.map(|view| view.id).collect()
    }

    /// How many routes a revision has that take traffic.
    async fn active(&self, revision: RevisionId) -> usize {
        let routes = self.fixture.routes(self.id).await;
        let active = routes.iter().map(|route| route.view).filter(|view| {
            view.revision == revision && view.traffic == RouteTraffic::Active && view.is_live()
        });
        active.count()
    }

    async fn scale(&self, n: u32) {
        let update = amend(move |it| it.target_replicas = n);
        let terms = call();
        let scaled = self.fixture.db.update_deployment(self.id, update, &terms);
        scaled.await.expect("it is scaled");
        self.fixture.settle().await;
    }

    /// Advances, and asks for it again, as a caller does who did not hear of it.
    async fn advance(&self, options: AdvanceOptions) -> Result<Updated, UnitError<AdvanceRefusal>> {
        let (db, terms) = (&self.fixture.db, with_request());
        let first = db.advance_deployment(self.id, options, &terms).await;
        let again = db.advance_deployment(self.id, options, &terms).await;
        let told = |it: &Result<Updated, _>| it.as_ref().ok().map(|it| it.deployment.clone());
        assert_eq!(told(&again), told(&first));
        first
    }

    async fn table(&self) -> TrafficTable {
        table(&self.fixture, self.id).await
    }

    /// The shares of blue and green in the table, none if it has no shares.
    async fn weights(&self) -> Option<[u16; 2]> {
        let table = self.table().await;
        let weights = &table.weights;
        let [blue, green] = weights[..] else {
            assert_eq!(weights[..], []);
            return None;
        };
        assert_eq!(blue.revision, self.blue);
        assert_eq!(Some(green.revision), table.deploying);
        assert_eq!(blue.weight + green.weight, 1_000);
        assert_eq!(blue.asked + green.asked, 1_000);
        let said = self.get().await.status.effective_permille;
        assert_eq!(said, green.weight, "the deployment says another share");
        Some([blue.weight, green.weight])
    }

    /// What history has since an entry, oldest first, with the share that was taken.
    async fn done(&self, since: i64) -> Vec<(Operation, Option<u16>)> {
        let history = self.fixture.history(self.id).await;
        let done = history.iter().rev().filter(|entry| entry.number > since);
        done.map(|entry| (entry.phase, entry.weight_permille))
            .collect()
    }

    /// Nothing is left of the canary: all of the traffic is blue's, as before it.
    async fn is_back(&self, green: RevisionId) {
        let table = self.table().await;
        assert_eq!(table.weights, []);
        assert_eq!(table.preview, []);
        let revisions = table.endpoints.iter().map(|it| it.revision);
        assert!(revisions.clone().all(|it| it == Some(self.blue)));
        assert!(revisions.count() > 0);
        assert_eq!(self.active(green).await, 0);
        let left = "SELECT COUNT(*) AS n FROM deployments WHERE weight_permille IS NOT NULL";
        assert_eq!(self.fixture.number(left).await, 0);
        assert_eq!(self.get().await.status.effective_permille, 0);
    }

    async fn check(&self) {
        invariants::hold(&self.fixture).await;
    }
}

async fn table(fixture: &Fixture, id: DeploymentId) -> TrafficTable {
    let mut reader = fixture.db.reader().await.expect("a reader");
    let tables = reader
        .traffic_tables(Tables::Of(vec![id]), Projects::All)
        .await;
    let [table] = &tables.expect("it is read")[..] else {
        panic!("one table")
    };
    table.clone()
}

/// A canary that replaces what fails, keeps blue for a while, and waits at its gate.
fn canary(steps: impl IntoIterator<Item = CanaryStep>) -> Policy {
    canary_with(steps, |_| {})
}

fn canary_with(
    steps: impl IntoIterator<Item = CanaryStep>,
    change: impl FnOnce(&mut BlueGreen),
) -> Policy {
    let mut switch = BlueGreen {
        scale_down_delay: secs(600),
        ..BlueGreen::default()
    };
    change(&mut switch);
    Policy {
        strategy: Strategy::Canary(Canary {
            steps: steps.into_iter().collect(),
            switch,
        }),
        ..Policy::default()
    }
}

/// A step that is held for so many seconds.
fn step(weight_permille: u16, hold: u64) -> CanaryStep {
    CanaryStep {
        weight_permille,
        hold: secs(hold),
        manual: false,
        replicas: None,
    }
}

/// The same, until someone advances.
fn manual_step(weight_permille: u16, hold: u64) -> CanaryStep {
    CanaryStep {
        manual: true,
        ..step(weight_permille, hold)
    }
}

/// The same with all of green.
fn full_step(weight_permille: u16, hold: u64) -> CanaryStep {
    CanaryStep {
        replicas: Some(IntOrPercent::Percent(100)),
        ..step(weight_permille, hold)
    }
}

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// Reports that routes ended by themselves.
async fn kill(fixture: &Fixture, routes: &[RouteId]) {
    fixture.status(routes, RouteStatus::Terminated).await;
}
