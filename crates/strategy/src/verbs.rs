//! The rules of the calls: what each changes, or why it is refused.

mod abort;
mod activate;
mod advance;
mod apply;
mod create;
mod delete;
mod drain_route;
mod pause;
mod promote;
mod restart;
mod roll_back;
mod update;

pub use self::{
    abort::{AbortRejection, abort},
    activate::{ActivateRejection, activate},
    advance::{AdvanceRejection, advance},
    apply::{ApplyDecision, ApplyRejection, RevisionChange, WantedRevision, WantedState, apply},
    create::create,
    delete::{DeleteRejection, delete, destroy},
    drain_route::{DrainRejection, drain_route},
    pause::{PauseRejection, pause, resume},
    promote::{PromoteRejection, promote},
    restart::{RestartRejection, restart},
    roll_back::{RollBackRejection, roll_back, roll_back_target},
    update::{UpdateRejection, update},
};
