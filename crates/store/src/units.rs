//! Units of work: each one transaction, each in its own file.
//!
//! All of them have one shape: lock the deployment and load its routes
//! ([`UnitTransaction::lock`]), let the strategy crate decide, make the decision a
//! value with its history, event and numbers ([`change`]), and have that carried
//! out when the transaction ends ([`UnitTransaction::carry_out`]). Those that need no
//! more than that share transactions ([`batch`]).

mod abort;
mod activate;
mod advance;
mod apply;
mod batch;
mod carry_out;
mod change;
mod correct_clock;
mod create;
mod delete;
mod details;
mod drain_route;
mod ended;
mod failure_backoff;
mod follow_clock;
mod happening;
mod idempotent;
mod lock;
mod pause;
mod promote;
mod prune;
mod reconcile;
mod recount;
mod rename_log;
mod report;
mod request_context;
mod restart;
mod roll_back;
mod route_writes;
mod sets;
mod update;

#[cfg(doc)]
use crate::transaction::UnitTransaction;

pub use self::{
    activate::Activation,
    advance::AdvanceOptions,
    apply::{ApplyOptions, DesiredState, Manifest},
    create::NewDeployment,
    failure_backoff::FailureBackoff,
    promote::PromotionPreview,
    prune::{Pruned, Retention},
    reconcile::ReconcileBatch,
    report::{HealthReport, ReportError, Silenced, StatusReport},
    request_context::{COORDINATOR, RequestContext},
    roll_back::{RollBackOptions, RollBackPreview},
    sets::{
        MAX_SET_MEMBERS, MAX_SET_ROUTES, MemberPreview, MemberRefusal, PromoteMember,
        RollBackMember, SetRefusal,
    },
    update::{DeploymentSpec, SpecChange},
};

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of half a unit of work need.
    pub(crate) use super::change::{PlannedChange, RowWrite};
}
