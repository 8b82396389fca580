//! A set of ten and something else at one moment, round after round: all are promoted or none,
//! whatever comes first, and nobody waits for ever.
//!
//! `VIRIDIAN_SET_RACES` says how many rounds each race has.

use std::{sync::Arc, time::Duration};

use rstest_reuse::apply;
use tokio::sync::Barrier;
use viridian_strategy::{
    BlockerCode, DeploymentId, DeploymentState, Lifecycle, RevisionId, RouteHealth, RouteStatus,
    verbs::PromoteRejection,
};

use super::{
    fixture::{Engine, Fixture, call, engines, manual, spec},
    invariants,
};
use crate::{
    FailureBackoff, HealthReport, PromoteMember, PromoteRefusal, SetRefusal, Store, SwitchedSet,
    UnitError,
};

type Promoted = Result<SwitchedSet, UnitError<SetRefusal<PromoteRefusal>>>;

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_races_with_a_report_that_one_is_unhealthy(#[case] engine: Engine) {
    let mut fleet = Fleet::new(engine).await;
    for round in 0..rounds() {
        let greens = fleet.bring_to_gate().await;
        let at = round % MEMBERS;
        let route = fleet.fixture.routes_of(fleet.ids[at], greens[at]).await[0];
        let (set, reported) = together(promote(&fleet, false), {
            let db = fleet.fixture.db.clone();
            async move {
                db.report_health(vec![HealthReport::new(route, RouteHealth::Unhealthy)])
                    .await
            }
        })
        .await;
        assert!(reported.expect("it is taken")[0].is_ok());
        let promoted = match set {
            Ok(_) => MEMBERS,
            Err(error) => {
                let refusals = refusals(error);
                let [(member, PromoteRejection::Blocked(blockers))] = &refusals[..] else {
                    panic!("{refusals:?}");
                };
                assert_eq!(
                    (*member, blockers[0].code()),
                    (at, BlockerCode::GreenUnhealthy)
                );
                0
            }
        };
        fleet.promoted(&greens, promoted).await;
        fleet.fixture.health(&[route], RouteHealth::Healthy).await;
    }
    fleet.end().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_races_with_cycles_of_its_members(#[case] engine: Engine) {
    let mut fleet = Fleet::new(engine).await;
    for _ in 0..rounds() {
        let greens = fleet.bring_to_gate().await;
        for id in &fleet.ids {
            let due = fleet.fixture.db.postpone(*id, Duration::ZERO).await;
            due.expect("it is due");
        }
        let (set, cycle) = together(promote(&fleet, false), {
            let db = fleet.fixture.db.clone();
            async move { db.reconcile_due(1_000, &FailureBackoff::default()).await }
        })
        .await;
        set.expect("a cycle is in nobody's way");
        assert!(cycle.expect("it runs").failed.is_empty());
        fleet.promoted(&greens, MEMBERS).await;
    }
    fleet.end().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_races_with_a_promotion_of_one_member(#[case] engine: Engine) {
    let mut fleet = Fleet::new(engine).await;
    for round in 0..rounds() {
        let greens = fleet.bring_to_gate().await;
        let at = round % MEMBERS;
        let (set, single) = together(promote(&fleet, round % 2 == 0), {
            let (db, id) = (fleet.fixture.db.clone(), fleet.ids[at]);
            async move { db.complete_manual_promote(id, None, &call()).await }
        })
        .await;
        let promoted = match (set, single) {
            (Ok(_), Err(UnitError::Refused(PromoteRefusal::Rules(rejection)))) => {
                assert_eq!(rejection, OVER);
                MEMBERS
            }
            (Err(error), Ok(_)) => {
                let [(_, rejection)] = &refusals(error)[..] else {
                    panic!("one was promoted already");
                };
                assert_eq!(*rejection, OVER);
                1
            }
            both => panic!("both were done, or neither was: {both:?}"),
        };
        fleet.promoted(&greens, promoted).await;
    }
    fleet.end().await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a17_races_with_the_same_set_in_reverse(#[case] engine: Engine) {
    let mut fleet = Fleet::new(engine).await;
    for _ in 0..rounds() {
        let greens = fleet.bring_to_gate().await;
        let error = match together(promote(&fleet, false), promote(&fleet, true)).await {
            (Ok(_), Err(error)) | (Err(error), Ok(_)) => error,
            both => panic!("both were done, or neither was: {both:?}"),
        };
        let refusals = refusals(error);
        assert_eq!(refusals.len(), MEMBERS);
        assert!(refusals.iter().all(|(_, rejection)| *rejection == OVER));
        fleet.promoted(&greens, MEMBERS).await;
    }
    fleet.end().await;
}

/// The members of a set.
struct Fleet {
    fixture: Fixture,
    ids: Vec<DeploymentId>,
}

impl Fleet {
    async fn new(engine: Engine) -> Self {
        let fixture = Fixture::new(engine).await;
        let mut ids = Vec::new();
        for _ in 0..MEMBERS {
            ids.push(fixture.ready(1, manual()).await);
        }
        Self { fixture, ids }
    }

    /// Brings all members to the gate; gives what each deploys.
    async fn bring_to_gate(&mut self) -> Vec<RevisionId> {
        let Self { fixture, ids } = self;
        let mut greens = Vec::new();
        for id in &*ids {
            let state = fixture.get(*id).await.state;
            let green = match state.deploying() {
                Some(green) => green,
                None => {
                    let created = fixture.db.create_revision(*id, spec(), true, &call()).await;
                    created.expect("it is activated").revision.id
                }
            };
            greens.push(green);
        }
        fixture.settle().await;
        let (mut new, mut old) = (Vec::new(), Vec::new());
        for id in &*ids {
            new.extend(fixture.routes_in(*id, RouteStatus::Provisioning).await);
            old.extend(fixture.routes_in(*id, RouteStatus::Terminating).await);
        }
        fixture.status(&old, RouteStatus::Terminated).await;
        fixture.status(&new, RouteStatus::Running).await;
        fixture.health(&new, RouteHealth::Healthy).await;
        fixture.settle().await;
        greens
    }

    /// Asserts that so many members have what they deployed: all, none, or the one that was
    /// promoted alone.
    async fn promoted(&self, greens: &[RevisionId], expected: usize) {
        let mut promoted = 0;
        for (id, &green) in self.ids.iter().zip(greens) {
            let state = self.fixture.get(*id).await.state;
            promoted += usize::from(state == DeploymentState::Ready { current: green });
        }
        assert_eq!(promoted, expected);
    }

    async fn end(self) {
        invariants::hold(&self.fixture).await;
    }
}

fn promote(fleet: &Fleet, reversed: bool) -> impl Future<Output = Promoted> + Send + use<> {
    let db: Store = fleet.fixture.db.clone();
    let members = fleet.ids.iter().map(|id| PromoteMember::of(*id));
    let mut members: Vec<_> = members.collect();
    if reversed {
        members.reverse();
    }
    async move { db.promote_deployments(&members, &call()).await }
}

/// Runs two calls from one moment on.
async fn together<A, B>(
    one: impl Future<Output = A> + Send + 'static,
    other: impl Future<Output = B> + Send + 'static,
) -> (A, B)
where
    A: Send + 'static,
    B: Send + 'static,
{
    let start = Arc::new(Barrier::new(2));
    let one = tokio::spawn(begin(Arc::clone(&start), one));
    let other = tokio::spawn(begin(start, other));
    (one.await.expect("no panic"), other.await.expect("no panic"))
}

async fn begin<T>(start: Arc<Barrier>, call: impl Future<Output = T>) -> T {
    start.wait().await;
    call.await
}

/// The members that were refused by their rules.
fn refusals(error: UnitError<SetRefusal<PromoteRefusal>>) -> Vec<(usize, PromoteRejection)> {
    let UnitError::Refused(SetRefusal::Members(refusals)) = error else {
        panic!("{error:?}");
    };
    let rule = |refusal: crate::MemberRefusal<_>| match refusal.why {
        UnitError::Refused(PromoteRefusal::Rules(rejection)) => (refusal.member, rejection),
        why => panic!("{why:?}"),
    };
    refusals.into_iter().map(rule).collect()
}

fn rounds() -> usize {
    let rounds = std::env::var("VIRIDIAN_SET_RACES").ok();
    rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number"))
}

const MEMBERS: usize = 10;
const ROUNDS: usize = 50;
const OVER: PromoteRejection = PromoteRejection::NotDeploying(Lifecycle::Ready);
