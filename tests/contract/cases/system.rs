//! `SystemService`.

use super::super::{
    case::{Case, case, done},
    contract_env::InitialState,
};

pub(super) fn cases() -> Vec<Case> {
    vec![case(
        "GetServerInfo",
        "the program",
        InitialState::Nothing,
        "{}",
        done(&[("/version", env!("CARGO_PKG_VERSION")), ("/features", "")]),
    )]
}
