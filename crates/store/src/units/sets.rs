//! Sets: the traffic of several deployments switches in one transaction, or that of none.
//!
//! Each member decides by its own verb, from rows that are locked in the order of ids. The
//! transaction is never shared with other calls: one that is refused must not hold up others,
//! and all that a set changes has one commit id.

mod lock;
mod member;

use uuid::Uuid;
use viridian_engine::WaitStart;
use viridian_strategy::{Blocker, RouteId};

use self::lock::{LockedMember, MemberLocks};
pub(crate) use self::member::SetMember;
pub use self::member::{PromoteMember, RollBackMember};
use crate::{
    Store,
    error::{PromoteRefusal, RollBackRefusal, StoreError, UnitError},
    record::{CommitId, Deployment, SwitchedMember, SwitchedSet},
    replies::{NewReply, RequestNamespace, insert_replies},
    telemetry::{InUnit as _, count_not_promoted},
    transaction::UnitTransaction,
    units::{RequestContext, change::PlannedChange, lock::Locked, promote::sides},
};

/// Why a set was refused. Nothing was changed then.
#[derive(Debug)]
pub enum SetRefusal<R> {
    /// Some members were refused: at least one, in the order of the request.
    Members(Vec<MemberRefusal<R>>),
    /// The members have more routes than one transaction may change.
    TooLarge {
        /// How many they have.
        routes: i64,
    },
}

/// Why a member of a set was refused.
#[derive(Debug)]
pub struct MemberRefusal<R> {
    /// Its place in the request, from 0.
    pub member: usize,
    /// Why, as if it had been called alone.
    pub why: UnitError<R>,
}

/// What a switch would come to for one member.
#[derive(Clone, Debug)]
pub struct MemberPreview {
    /// The deployment as it is.
    pub deployment: Deployment,
    /// The routes that would take the traffic.
    pub promoted: Vec<RouteId>,
    /// The routes that would lose it.
    pub drained: Vec<RouteId>,
    /// What is in the way. If there is anything, the set is refused.
    pub blockers: Vec<Blocker>,
}

/// A set that may switch, or not.
type SetResult<T, M> = Result<T, UnitError<SetRefusal<<M as SetMember>::Refusal>>>;

/// A member that is locked, and what is to be done with it.
struct PlannedMember {
    held: Locked,
    plan: PlannedChange,
}

impl Store {
    /// Promotes several deployments, at most [`MAX_SET_MEMBERS`], each once.
    ///
    /// The reply to its request id is stored in the project whose name is the first of those of
    /// its members.
    ///
    /// # Errors
    ///
    /// A [`SetRefusal`], and those of every unit of work; no deployment is touched then.
    pub async fn promote_deployments(
        &self,
        members: &[PromoteMember],
        call: &RequestContext,
    ) -> Result<SwitchedSet, UnitError<SetRefusal<PromoteRefusal>>> {
        self.switch(members, call)
            .in_unit("promote_set", None)
            .await
            .inspect_err(count_not_promoted)
    }

    /// Rolls several deployments back, at once or not at all. The rest as in
    /// [`promote_deployments`](Self::promote_deployments).
    ///
    /// # Errors
    ///
    /// The same.
    pub async fn roll_back_deployments(
        &self,
        members: &[RollBackMember],
        call: &RequestContext,
    ) -> Result<SwitchedSet, UnitError<SetRefusal<RollBackRefusal>>> {
        self.switch(members, call)
            .in_unit("roll_back_set", None)
            .await
    }

    /// Says what the promotion of a set would come to, and changes nothing.
    ///
    /// # Errors
    ///
    /// The same; what is in the way of a promotion is no error.
    pub async fn preview_promote_set(
        &self,
        members: &[PromoteMember],
    ) -> Result<Vec<MemberPreview>, UnitError<SetRefusal<PromoteRefusal>>> {
        self.preview(members)
            .in_unit("preview_promote_set", None)
            .await
    }

    /// Says what the roll-back of a set would come to, and changes nothing.
    ///
    /// # Errors
    ///
    /// The same: what would be refused is refused.
    pub async fn preview_roll_back_set(
        &self,
        members: &[RollBackMember],
    ) -> Result<Vec<MemberPreview>, UnitError<SetRefusal<RollBackRefusal>>> {
        self.preview(members)
            .in_unit("preview_roll_back_set", None)
            .await
    }

    async fn switch<M: SetMember>(
        &self,
        members: &[M],
        call: &RequestContext,
    ) -> SetResult<SwitchedSet, M> {
        let since = WaitStart::now();
        let result = self
            .with_members(since, members, |tx, locked| {
                let planned = plan_all(members, locked)?;
                Ok(carry_out_set(tx, planned, call)?)
            })
            .await;
        let ids: Vec<_> = members.iter().map(M::deployment).collect();
        // Looked for after the refusal, as in every unit: of two repeats at a time one is refused.
        let namespace = RequestNamespace::FirstProjectOf(&ids);
        self.or_stored_reply(since, namespace, call, result).await
    }

    async fn preview<M: SetMember>(&self, members: &[M]) -> SetResult<Vec<MemberPreview>, M> {
        // Under the locks, although it writes nothing: it decides on what a switch would see.
        self.with_members(WaitStart::now(), members, |_, locked| {
            let previews = members.iter().zip(locked).enumerate();
            let previews = previews.map(|(index, (member, locked))| {
                preview_member(member, locked).map_err(|why| (index, why))
            });
            all_or_refused(previews)
        })
        .await
    }

    /// Locks the members, and finishes in the same transaction.
    ///
    /// Without a wait at first: it locks all in one statement, which nearly always succeeds. If
    /// another transaction holds one of them, it begins again and locks one after the other: a
    /// statement that waits for several rows would wait for each as long as for all.
    async fn with_members<M: SetMember, T>(
        &self,
        since: WaitStart,
        members: &[M],
        finish: impl Fn(&mut UnitTransaction, Vec<LockedMember>) -> SetResult<T, M>,
    ) -> SetResult<T, M> {
        let ids: Vec<_> = members.iter().map(M::deployment).collect();
        let mut locks = MemberLocks::TakeFree;
        loop {
            let run = self.write_locked(since, ids.clone(), async |tx: &mut UnitTransaction| {
                // Before the locks: too many routes would be loaded while all of them are held.
                let routes = tx.connection().await?.count_live_routes(&ids).await?;
                if routes > MAX_SET_ROUTES {
                    return Err(UnitError::Refused(SetRefusal::TooLarge { routes }));
                }
                let Some(mut locked) = self.lock_members(tx, since, &ids, locks).await? else {
                    return Ok(None);
                };
                load_targets(tx, members, &mut locked).await?;
                finish(tx, locked).map(Some)
            });
            match run.await? {
                Some(finished) => return Ok(finished),
                None => locks = MemberLocks::Wait,
            }
        }
    }
}

/// Loads the revisions that members lead to, all in one statement.
async fn load_targets<M: SetMember>(
    tx: &mut UnitTransaction,
    members: &[M],
    locked: &mut [LockedMember],
) -> Result<(), StoreError> {
    let targets = members.iter().zip(&*locked).map(|(member, locked)| {
        let held = locked.held.as_ref().ok()?.as_ref()?;
        member.target(held)
    });
    let targets: Vec<_> = targets.collect();
    // A promotion leads to what is being deployed, and that needs no look-up.
    if targets.iter().all(Option::is_none) {
        return Ok(());
    }
    let wanted = targets.iter().flatten().copied().collect();
    let found = tx.connection().await?.find_revisions_by_id(wanted).await?;
    for (locked, target) in locked.iter_mut().zip(targets) {
        // Of this member only: a route never runs the revision of another deployment.
        let of_it = found.iter().find(|revision| {
            Some(revision.id) == target && revision.deployment == locked.deployment
        });
        locked.target = of_it.cloned();
    }
    Ok(())
}

fn plan_all<M: SetMember>(
    members: &[M],
    locked: Vec<LockedMember>,
) -> SetResult<Vec<PlannedMember>, M> {
    let planned = members.iter().zip(locked).enumerate();
    let planned = planned.map(|(index, (member, locked))| {
        let LockedMember { held, target, .. } = locked;
        let decided = member.held(held).and_then(|held| {
            let plan = member.decide(&held, target.as_ref());
            Ok(PlannedMember {
                plan: plan.map_err(UnitError::Refused)?,
                held,
            })
        });
        decided.map_err(|why| (index, why))
    });
    all_or_refused(planned)
}

fn preview_member<M: SetMember>(
    member: &M,
    locked: LockedMember,
) -> Result<MemberPreview, UnitError<M::Refusal>> {
    let held = member.held(locked.held)?;
    let (actions, blockers) = match member.decide(&held, locked.target.as_ref()) {
        Ok(plan) => (plan.transition.actions, Vec::new()),
        Err(refusal) => (
            Default::default(),
            M::blockers(refusal).map_err(UnitError::Refused)?,
        ),
    };
    let (promoted, drained) = sides(&actions);
    Ok(MemberPreview {
        deployment: held.deployment,
        promoted,
        drained,
        blockers,
    })
}

/// All results, or every refusal.
fn all_or_refused<T, R>(
    results: impl Iterator<Item = Result<T, (usize, UnitError<R>)>>,
) -> Result<Vec<T>, UnitError<SetRefusal<R>>> {
    let (mut given, mut refusals) = (Vec::new(), Vec::new());
    for result in results {
        match result {
            Ok(one) => given.push(one),
            // All of them, so that a caller can mend them before the next try.
            Err((member, why)) => refusals.push(MemberRefusal { member, why }),
        }
    }
    match refusals.is_empty() {
        true => Ok(given),
        false => Err(UnitError::Refused(SetRefusal::Members(refusals))),
    }
}

/// Adds what all members come to, and the reply, to what is written at the commit.
fn carry_out_set(
    tx: &mut UnitTransaction,
    planned: Vec<PlannedMember>,
    call: &RequestContext,
) -> Result<SwitchedSet, StoreError> {
    let commit = CommitId(Uuid::now_v7());
    // The latest of the locks: nothing is written with a time from before it was locked.
    let now = planned
        .iter()
        .map(|it| it.held.now)
        .max()
        .unwrap_or_default();
    let (mut members, mut sets) = (Vec::new(), Vec::new());
    for PlannedMember { held, plan } in planned {
        let (promoted, drained) = sides(&plan.transition.actions);
        // With one id for all, by which readers of the log find the other members.
        let set = held.write_set(&plan.in_set(commit), call);
        members.push(SwitchedMember {
            deployment: set.deployment.clone(),
            promoted,
            drained,
        });
        sets.push(set);
    }
    let switched = SwitchedSet { commit, members };
    let reply = NewReply::of(call.request.as_ref(), &switched)?;
    tx.carry_out_all(sets, now);
    tx.write([insert_replies(reply, now)]);
    Ok(switched)
}

/// How many members a set may have.
pub const MAX_SET_MEMBERS: usize = 50;

/// How many live routes the members may have in all. The transaction reads all of them, and
/// writes most, while it holds every lock.
pub const MAX_SET_ROUTES: i64 = 5_000;
