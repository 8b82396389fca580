//! The rules of the calls: what each changes, or why it is refused.

mod activate;
mod create;
mod promote;

pub use self::{
    activate::{ActivateRejection, activate},
    create::create,
    promote::{PromoteRejection, promote},
};
