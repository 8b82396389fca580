//! Who may call: tokens, certificates, roles and projects, and that no secret
//! leaves the server.

mod certificates;
mod environ;
mod matrix;
pub(crate) mod pki;
mod projects;
mod resource_groups;
mod rotation;
mod secrets;
mod sets;
pub(crate) mod staff;
mod start;
mod streams;
mod token;
