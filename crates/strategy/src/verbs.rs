//! The rules of the calls: what each changes, or why it is refused.

mod abort;
mod activate;
mod apply;
mod create;
mod delete;
mod pause;
mod promote;
mod roll_back;
mod update;

pub use self::{
    abort::{AbortRejection, abort},
    activate::{ActivateRejection, activate},
    apply::{ApplyDecision, ApplyRejection, RevisionChange, WantedRevision, WantedState, apply},
    create::create,
    delete::{DeleteRejection, delete, destroy},
    pause::{PauseRejection, pause, resume},
    promote::{PromoteRejection, promote},
    roll_back::{RollBackRejection, roll_back, roll_back_target},
    update::{UpdateRejection, update},
};
