//! Conversions between wire and domain, one file an aggregate. What comes in is
//! parsed, with every violation at once; what goes out cannot fail.

pub(crate) mod apply;
mod changes;
pub(crate) mod deployment;
mod environ_from;
pub(crate) mod event;
pub(crate) mod history;
mod mask;
pub(crate) mod policy;
pub(crate) mod protocol;
pub(crate) mod reference;
pub(crate) mod revision;
pub(crate) mod route;
pub(crate) mod time;
pub(crate) mod traffic;
pub(crate) mod update;
pub(crate) mod violations;

pub(crate) use self::{mask::MergeConflict, violations::Violations};
