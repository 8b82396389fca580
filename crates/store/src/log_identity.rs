//! The log's name, and the key that seals what continues in it.

use std::fmt;

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use viridian_engine::{load, with_conn};

use crate::{
    connection::StoreConnection, error::StoreError, row_count::expect_rows, schema::horizon,
};

/// Which log a database has, and the key of its tokens: the same for all its servers.
#[derive(Clone)]
pub struct LogIdentity {
    /// Its name. A restored database gets a new one.
    pub name: Vec<u8>,
    /// 32 random bytes that never leave the servers of the database.
    pub token_key: Vec<u8>,
    /// The last position that a token without a seal may have. 0: no earlier program has
    /// written to this log.
    pub unsealed_until: i64,
}

impl fmt::Debug for LogIdentity {
    /// Without the key, and without the name, which is only bytes.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LogIdentity")
            .field("unsealed_until", &self.unsealed_until)
            .finish_non_exhaustive()
    }
}

impl StoreConnection {
    pub(crate) async fn log_identity(&mut self) -> Result<LogIdentity, StoreError> {
        let mut rows: Vec<(Vec<u8>, Vec<u8>, i64)> = load!(
            self,
            horizon::table.select((
                horizon::log_name,
                horizon::token_key,
                horizon::unsealed_until
            ))
        )?;
        expect_rows("read log identity", 1, rows.len())?;
        let (name, token_key, unsealed_until) = rows.remove(0);
        Ok(LogIdentity {
            name,
            token_key,
            unsealed_until,
        })
    }

    pub(crate) async fn rename_log(&mut self, name: Vec<u8>) -> Result<(), StoreError> {
        let renamed = with_conn!(self, |c| diesel::update(horizon::table)
            .set((
                horizon::log_name.eq(name.clone()),
                // A token without a seal may be of any log.
                horizon::unsealed_until.eq(0_i64),
            ))
            .execute(c))?;
        expect_rows("rename log", 1, renamed)
    }
}
