//! Units of work: each one transaction, each in its own file.
//!
//! All of them have one shape: lock the deployment and load its routes
//! ([`Transaction::hold`]), let the strategy crate decide, and carry the
//! decision out ([`Transaction::carry_out`]) with its history, event and
//! numbers.

mod abort;
mod activate;
mod call;
mod create;
mod cycle;
mod delete;
mod hold;
mod pause;
mod promote;
mod prune;
mod report;
mod roll_back;
mod update;

#[cfg(doc)]
use crate::transaction::Transaction;

pub use self::{
    activate::NewRevision,
    call::{COORDINATOR, Call, Changed},
    create::NewDeployment,
    cycle::DueBatch,
    promote::{Promotion, PromotionPreview},
    prune::{Pruned, Retention, RetentionError},
    report::{HealthReport, ReportError, StatusReport},
    roll_back::RolledBack,
    update::DeploymentUpdate,
};

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of half a unit of work need.
    pub(crate) use super::hold::Plan;
}
