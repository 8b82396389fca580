//! Who may call: tokens, certificates, roles and projects, and that no secret
//! leaves the server.

mod certificates;
mod matrix;
mod pki;
mod projects;
mod rotation;
mod secrets;
mod staff;
mod start;
mod streams;
mod token;
