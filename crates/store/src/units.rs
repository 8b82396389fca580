//! Units of work: each one transaction, each in its own file.
//!
//! All of them have one shape: lock the deployment and load its routes
//! ([`Transaction::hold`]), let the strategy crate decide, and carry the
//! decision out ([`Transaction::carry_out`]) with its history, event and
//! numbers.

mod activate;
mod call;
mod create;
mod cycle;
mod hold;
mod promote;
mod report;

#[cfg(doc)]
use crate::transaction::Transaction;

pub use self::{
    activate::{Activation, NewRevision},
    call::{COORDINATOR, Call},
    create::{Creation, NewDeployment},
    cycle::DueBatch,
    promote::{Promotion, PromotionPreview},
    report::{HealthReport, ReportError, StatusReport},
};

#[cfg(test)]
pub(crate) mod testing {
    //! What tests of half a unit of work need.
    pub(crate) use super::hold::Plan;
}
