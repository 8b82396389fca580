//! Sets: several deployments switch in one transaction, or none does.

use rstest_reuse::apply;
use uuid::Uuid;
use viridian_strategy::{
    BlockerCode, DeploymentId, DeploymentState, Lifecycle, Policy, RevisionId, RouteHealth,
    RouteStatus, Timestamp, verbs::PromoteRejection,
};

use super::{
    fixture::{Engine, Fixture, blue_green, call, engines, manual, new_deployment, with_request},
    invariants,
};
use crate::{
    MemberRefusal, Operation, PromoteMember, PromoteRefusal, RequestContext, RollBackMember,
    RollBackRefusal, SetRefusal, StoreError, SwitchedSet, UnitError,
};

type Promoted = Result<SwitchedSet, UnitError<SetRefusal<PromoteRefusal>>>;

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a17_a_set_is_promoted_as_a_whole(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut members = at_the_gate(&fixture, 3, manual()).await;
    // Not in the order in which they are locked.
    members.reverse();
    let bystander = fixture.at_the_gate(1, manual()).await.0;
    let before = fixture.get(bystander).await;
    let promoted = promote(&fixture, &members, &with_request()).await;
    let promoted = promoted.expect("all are ready");
    for ((id, green), member) in members.iter().zip(&promoted.members) {
        let after = fixture.get(*id).await;
        assert_eq!(after.state, DeploymentState::Ready { current: *green });
        assert_eq!(after, member.deployment);
        assert_eq!(member.promoted, fixture.routes_of(*id, *green).await);
        assert_eq!(member.drained.len(), 2);
        let entry = fixture.history(*id).await.swap_remove(0);
        let told = (entry.phase, entry.commit);
        assert_eq!(told, (Operation::Promote, Some(promoted.commit)));
    }
    assert_eq!(fixture.get(bystander).await, before);
    for table in ["deployments", "events", "history"] {
        let members = format!("SELECT COUNT(*) AS n FROM {table} WHERE commit_id IS NOT NULL");
        assert_eq!(fixture.number(&members).await, 3, "{table}");
    }
    assert_eq!(fixture.number("SELECT COUNT(*) AS n FROM replies").await, 1);
    invariants::hold(&fixture).await;

    // Its table is of the set until the next change of it.
    let (id, _) = members[0];
    fixture
        .health(&promoted.members[0].promoted[..1], RouteHealth::Unhealthy)
        .await;
    fixture.settle().await;
    let of_set = "SELECT COUNT(*) AS n FROM deployments WHERE commit_id IS NOT NULL";
    assert_eq!(fixture.number(of_set).await, 2);
    assert_eq!(
        fixture.get(id).await.epoch,
        promoted.members[0].deployment.epoch + 1
    );
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a17_one_that_is_not_ready_refuses_all_and_is_named(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let members = at_the_gate(&fixture, 4, manual()).await;
    let (unready, green) = members[1];
    let route = fixture.routes_of(unready, green).await[0];
    fixture.health(&[route], RouteHealth::Unhealthy).await;
    fixture.settle().await;
    let (over, _) = members[3];
    let aborted = fixture.db.abort_deployment(over, None, &call()).await;
    aborted.expect("it is given up");
    fixture.settle().await;
    let footprint = fixture.footprint().await;
    let refusals = refused(promote(&fixture, &members, &with_request()).await);
    let [first, second] = &refusals[..] else {
        panic!("{refusals:?}");
    };
    assert_eq!((first.member, second.member), (1, 3));
    let UnitError::Refused(PromoteRefusal::Rules(PromoteRejection::Blocked(blockers))) = &first.why
    else {
        panic!("{first:?}");
    };
    assert_eq!(blockers[0].code(), BlockerCode::GreenUnhealthy);
    let UnitError::Refused(PromoteRefusal::Rules(rejection)) = &second.why else {
        panic!("{second:?}");
    };
    assert_eq!(*rejection, PromoteRejection::NotDeploying(Lifecycle::Ready));
    assert_eq!(fixture.footprint().await, footprint, "nothing is written");

    // To look is no refusal where the only thing in the way is a blocker.
    let asked: Vec<_> = members[..2]
        .iter()
        .map(|it| PromoteMember::of(it.0))
        .collect();
    let previews = fixture.db.preview_promote_set(&asked).await;
    let previews = previews.expect("it is no error");
    assert!(previews[0].blockers.is_empty() && previews[0].promoted.len() == 2);
    assert_eq!(previews[1].blockers[0].code(), BlockerCode::GreenUnhealthy);
    assert!(previews[1].promoted.is_empty());
    assert_eq!(fixture.footprint().await, footprint, "nothing is written");
    promote(&fixture, &[members[0], members[2]], &call())
        .await
        .expect("the rest is ready");
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a17_what_a_member_expects_counts_for_all(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let members = at_the_gate(&fixture, 2, manual()).await;
    let generation = fixture.get(members[1].0).await.generation;
    let mut asked: Vec<_> = members.iter().map(|it| PromoteMember::of(it.0)).collect();
    asked[0].expected_revision = Some(members[0].1);
    asked[1].expected_generation = Some(generation - 1);
    let refusals = refused(fixture.db.promote_deployments(&asked, &call()).await);
    let [MemberRefusal { member: 1, why }] = &refusals[..] else {
        panic!("{refusals:?}");
    };
    assert!(matches!(why, UnitError::Generation { actual, .. } if *actual == generation));
    asked[1].expected_generation = Some(generation);
    asked[0].expected_revision = Some(members[1].1);
    let refusals = refused(fixture.db.promote_deployments(&asked, &call()).await);
    let why = &refusals[0].why;
    assert!(
        matches!(why, UnitError::Refused(PromoteRefusal::Revision { .. })),
        "{why:?}"
    );
    // The same one twice is refused by the server; here it is not promoted twice.
    let twice = [asked[1], asked[1]];
    assert_eq!(
        refused(fixture.db.promote_deployments(&twice, &call()).await)[0].member,
        1
    );
    asked[0].expected_revision = Some(members[0].1);
    let promoted = fixture.db.promote_deployments(&asked, &call()).await;
    promoted.expect("both are as expected");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a18_a_damaged_row_is_named_and_the_rest_is_promoted_without_it(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let members = at_the_gate(&fixture, 4, manual()).await;
    let gone = (DeploymentId(Uuid::now_v7()), RevisionId(Uuid::now_v7()));
    let (policy, route) = (members[1].0, members[2].0);
    let name = fixture.get(policy).await.name;
    let broken =
        format!("UPDATE deployments SET policy = '{{\"nonsense\": 1}}' WHERE name = '{name}'");
    fixture.tamper(&broken).await.expect("it is tampered with");
    let name = fixture.get(route).await.name;
    // No time that a program can read. PostgreSQL's own types keep one from being none.
    let (first, time) = match engine {
        Engine::Sqlite => ("", "'soon'"),
        Engine::Postgres => (
            "ALTER TABLE routes ALTER COLUMN created_at DROP NOT NULL;",
            "NULL",
        ),
    };
    let broken = format!(
        "{first} UPDATE routes SET created_at = {time} WHERE deployment_id = \
         (SELECT id FROM deployments WHERE name = '{name}')"
    );
    fixture.tamper(&broken).await.expect("it is tampered with");
    let asked = [members[0], members[1], gone, members[2], members[3]];
    let refusals = refused(promote(&fixture, &asked, &call()).await);
    let mut named = refusals
        .iter()
        .map(|refusal| (refusal.member, &refusal.why));
    let corrupt = |why: &UnitError<_>, id| matches!(why, UnitError::Store(StoreError::Corrupt { id: found, .. }) if *found == id);
    assert!(
        named
            .next()
            .is_some_and(|(member, why)| member == 1 && corrupt(why, policy))
    );
    let missing = |why: &UnitError<_>| matches!(why, UnitError::NoDeployment(id) if *id == gone.0);
    assert!(
        named
            .next()
            .is_some_and(|(member, why)| member == 2 && missing(why))
    );
    assert!(
        named
            .next()
            .is_some_and(|(member, why)| member == 3 && corrupt(why, route)),
        "{refusals:?}"
    );
    assert!(named.next().is_none(), "{refusals:?}");
    promote(&fixture, &[members[0], members[3]], &call())
        .await
        .expect("the rest is ready");
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a17_a_repeat_gets_the_first_reply_also_of_two_projects(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let (first, green) = fixture.at_the_gate(1, manual()).await;
    let (second, other_green) = of_project(&fixture, "another").await;
    let members = [(first, green), (second, other_green)];
    let terms = with_request();
    let promoted = promote(&fixture, &members, &terms)
        .await
        .expect("both are ready");
    let footprint = fixture.footprint().await;
    let again = promote(&fixture, &members, &terms)
        .await
        .expect("the first reply");
    assert_eq!(format!("{again:?}"), format!("{promoted:?}"));
    assert_eq!(fixture.footprint().await, footprint);
    // The same id with the members in another order is another request.
    let mut other = terms.clone();
    other.request.as_mut().expect("there is one").fingerprint = b"reversed".to_vec();
    let reversed = promote(&fixture, &[members[1], members[0]], &other).await;
    assert!(
        matches!(reversed, Err(UnitError::RequestIdReused)),
        "{reversed:?}"
    );
    let request = terms.request.as_ref().expect("there is one");
    let mut reader = fixture.db.reader().await.expect("a reader");
    let replied = reader.find_replied_set("another", request).await;
    assert_eq!(replied.expect("it is read"), Some(vec![first, second]));
    // It is about no deployment alone.
    let one = reader.find_replied_deployment("another", request).await;
    assert_eq!(one.expect("it is read"), None);
    drop(reader);
    invariants::hold(&fixture).await;
}

/// What a member comes to is what its own call comes to.
#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn p14_each_member_is_promoted_as_by_its_own_verb(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let retaining = || blue_green(|it| it.scale_down_delay = LONG);
    let unhurried = || blue_green(|it| it.promote_delay = LONG);
    for policy in [manual, retaining, unhurried] as [fn() -> Policy; 3] {
        let members = at_the_gate(&fixture, 2, policy()).await;
        let alone = fixture.at_the_gate(2, policy()).await.0;
        let single = fixture
            .db
            .complete_manual_promote(alone, None, &call())
            .await;
        single.expect("it is ready");
        promote(&fixture, &members, &call())
            .await
            .expect("both are ready");
        let expected = shape(&fixture, alone).await;
        for (id, _) in members {
            assert_eq!(shape(&fixture, id).await, expected);
        }
    }
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a17_a_set_goes_back_at_once_or_not_at_all(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let retaining = || blue_green(|it| it.scale_down_delay = LONG);
    let members = at_the_gate(&fixture, 2, retaining()).await;
    let blue = fixture.get(members[0].0).await.state.current();
    promote(&fixture, &members, &call())
        .await
        .expect("both are ready");
    fixture.settle().await;
    // A third one is in the midst of a rollout: the way back is to give it up.
    let (deploying, _) = fixture.at_the_gate(1, manual()).await;
    // And a fourth one has nothing that is retained.
    let (drained, _) = fixture.at_the_gate(1, manual()).await;
    let promoted = fixture
        .db
        .complete_manual_promote(drained, None, &call())
        .await;
    promoted.expect("it is ready");
    fixture.settle().await;
    let back =
        |ids: &[DeploymentId]| -> Vec<_> { ids.iter().map(|id| RollBackMember::of(*id)).collect() };
    let footprint = fixture.footprint().await;
    let asked = back(&[members[0].0, deploying, drained, members[1].0]);
    let refusals = match fixture.db.roll_back_deployments(&asked, &call()).await {
        Err(UnitError::Refused(SetRefusal::Members(refusals))) => refusals,
        other => panic!("{other:?}"),
    };
    let [MemberRefusal { member: 2, why }] = &refusals[..] else {
        panic!("{refusals:?}");
    };
    assert!(
        matches!(why, UnitError::Refused(RollBackRefusal::NotInstant)),
        "{why:?}"
    );
    assert_eq!(fixture.footprint().await, footprint, "nothing is written");

    let asked = back(&[members[0].0, deploying, members[1].0]);
    let previews = fixture.db.preview_roll_back_set(&asked).await;
    assert_eq!(previews.expect("it may be").len(), 3);
    assert_eq!(fixture.footprint().await, footprint, "nothing is written");
    let terms = with_request();
    let went_back = fixture.db.roll_back_deployments(&asked, &terms).await;
    let went_back = went_back.expect("all are instant");
    assert_eq!(fixture.get(members[0].0).await.state.current(), blue);
    for member in &went_back.members {
        let state = fixture.get(member.deployment.id).await.state;
        assert!(matches!(state, DeploymentState::Ready { .. }), "{state:?}");
    }
    let again = fixture.db.roll_back_deployments(&asked, &terms).await;
    assert_eq!(again.expect("the first reply").commit, went_back.commit);
    invariants::hold(&fixture).await;
}

#[apply(engines)]
#[tokio::test(flavor = "multi_thread")]
async fn a_set_of_too_many_routes_is_refused_before_anything_is_done(#[case] engine: Engine) {
    let fixture = Fixture::new(engine).await;
    let mut members = Vec::new();
    for _ in 0..6 {
        let id = fixture.created(1_000, manual()).await;
        members.push(PromoteMember::of(id));
    }
    let refused = fixture.db.promote_deployments(&members, &call()).await;
    let Err(UnitError::Refused(SetRefusal::TooLarge { routes: 6_000 })) = refused else {
        panic!("{refused:?}");
    };
    // As many as there may be are refused by their own rules.
    let fewer = fixture.db.promote_deployments(&members[..5], &call()).await;
    assert_eq!(self::refused(fewer).len(), 5);
}

async fn promote(
    fixture: &Fixture,
    members: &[(DeploymentId, RevisionId)],
    call: &RequestContext,
) -> Promoted {
    let members: Vec<_> = members.iter().map(|it| PromoteMember::of(it.0)).collect();
    fixture.db.promote_deployments(&members, call).await
}

fn refused(result: Promoted) -> Vec<MemberRefusal<PromoteRefusal>> {
    match result {
        Err(UnitError::Refused(SetRefusal::Members(refusals))) => refusals,
        other => panic!("{other:?}"),
    }
}

/// Deployments whose new revision is ready, each with it.
async fn at_the_gate(
    fixture: &Fixture,
    count: usize,
    policy: Policy,
) -> Vec<(DeploymentId, RevisionId)> {
    let mut members = Vec::new();
    for _ in 0..count {
        members.push(fixture.at_the_gate(2, policy.clone()).await);
    }
    members
}

async fn of_project(fixture: &Fixture, project: &str) -> (DeploymentId, RevisionId) {
    let new = new_deployment(project, "d");
    let created = fixture.db.create_deployment(new, &call()).await;
    let id = created.expect("it is created").deployment.id;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    let green = fixture.deploy(id).await;
    fixture.bring_up(id, RouteHealth::Healthy).await;
    (id, green)
}

/// All of a deployment but ids and times.
async fn shape(fixture: &Fixture, id: DeploymentId) -> String {
    let it = fixture.get(id).await;
    let numbers = (it.generation, it.sequence, it.epoch, it.last_history);
    let mut status = it.status;
    status.retained_until = status.retained_until.map(|_| Timestamp::default());
    let mut routes = Vec::new();
    for state in [RouteStatus::Running, RouteStatus::Terminating] {
        routes.push(fixture.routes_in(id, state).await.len());
    }
    let moves = fixture.history(id).await.into_iter();
    let moves: Vec<_> = moves.map(|it| (it.phase, it.outcome, it.effects)).collect();
    format!(
        "{numbers:?} {status:?} {routes:?} {moves:?} {:?}",
        it.numbers
    )
}

const LONG: std::time::Duration = std::time::Duration::from_secs(3_600);
