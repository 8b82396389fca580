//! The four services: parse, let the store work, convert. No rule lives here.

pub(crate) mod deployment;
mod group_routes;
mod pacing;
pub(crate) mod route;
pub(crate) mod system;
pub(crate) mod traffic;
