//! Units of work: each one transaction, each in its own file.
//!
//! All of them have one shape: lock the deployment and load its routes
//! ([`Transaction::hold`]), let the strategy crate decide, make the decision a
//! value with its history, event and numbers ([`change`]), and have that carried
//! out when the transaction ends ([`Transaction::carry_out`]). Those that need no
//! more than that share transactions ([`share`]).

mod abort;
mod activate;
mod aside;
mod call;
mod carry_out;
mod change;
mod create;
mod cycle;
mod delete;
mod hold;
mod pause;
mod promote;
mod prune;
mod report;
mod roll_back;
mod share;
mod update;

pub(crate) use self::share::Share;
#[cfg(doc)]
use crate::transaction::Transaction;

pub use self::{
    activate::NewRevision,
    aside::SetAside,
    call::{COORDINATOR, Call, Changed},
    create::NewDeployment,
    cycle::Pass,
    promote::{Promotion, PromotionPreview},
    prune::{Pruned, Retention, RetentionError},
    report::{HealthReport, ReportError, Silenced, StatusReport},
    roll_back::RolledBack,
    update::DeploymentUpdate,
};

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of half a unit of work need.
    pub(crate) use super::{
        change::Plan,
        hold::Held,
        share::{Caller, Decided, End, Place},
    };
}
