//! The time that decides goes on as it did when the clock is set.
//!
//! On SQLite that is so by itself: the process measures the time. On PostgreSQL the server that
//! notices writes down by how much the clock was set, and every server subtracts that.

use std::time::{Duration, Instant};

use diesel::{QueryableByName, sql_types::BigInt};
use metrics::{counter, gauge};
use viridian_engine::{load, system_clock};
use viridian_strategy::Timestamp;

use crate::{
    Store,
    error::StoreError,
    jump_detector::MIN_JUMP,
    telemetry::{CLOCK_CORRECTION, CLOCK_JUMPS, InUnit as _},
    transaction::UnitTransaction,
    types::timestamp,
};

impl Store {
    /// Corrects the time that decides if the clock was set.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub(super) async fn expect_steady_clock(&self) -> Result<(), StoreError> {
        if self.clock_jumps().is_some() {
            let asked = Instant::now();
            let now = self.now().await?;
            self.correct_clock(now, asked).await?;
        }
        Ok(())
    }

    /// The same for a time that was asked for at some moment. Returns whether another time
    /// decides now.
    pub(super) async fn correct_clock(
        &self,
        now: Timestamp,
        asked: Instant,
    ) -> Result<bool, StoreError> {
        let Some(jumps) = self.clock_jumps() else {
            return Ok(false);
        };
        // SQLite's time is this process's own, so there is nothing to correct; it is only said.
        if self.has_one_writer() {
            let asked = Instant::now();
            if let Some(jump) = jumps
                .detector
                .observe(timestamp(system_clock()), asked, asked)
            {
                jumps.detector.accept();
                report(jump, "the process's");
            }
            return Ok(false);
        }
        if jumps.detector.observe(now, asked, Instant::now()).is_none() {
            return Ok(false);
        }
        self.write(async |tx: &mut UnitTransaction| self.correct_locked(tx).await)
            .in_unit("correct_clock", None)
            .await?;
        Ok(true)
    }

    /// Looks again under the lock: another server may have corrected it meanwhile.
    async fn correct_locked(&self, tx: &mut UnitTransaction) -> Result<(), StoreError> {
        let Some(jumps) = self.clock_jumps() else {
            return Ok(());
        };
        let connection = tx.connection().await?;
        let query = diesel::sql_query(LOCK_CORRECTION);
        let found: Vec<Correction> = load!(connection, query.clone())?;
        let Some(found) = found.into_iter().next() else {
            return Ok(());
        };
        // Only from here on: the wait for the lock is no part of how long the question took.
        let asked = Instant::now();
        let now = tx.now().await?;
        let Some(jump) = jumps.detector.observe(now, asked, Instant::now()) else {
            return Ok(());
        };
        // Another server had reason to correct it by just that, perhaps because this machine stood
        // still. Two that corrected each other would never end.
        let by_others = found.clock_correction - jumps.known_correction(found.clock_correction);
        let is_explained = Duration::from_micros((jump + by_others).unsigned_abs()) < MIN_JUMP;
        if by_others != 0 && is_explained {
            jumps.detector.accept();
            return Ok(());
        }
        let corrected = found.clock_correction + jump;
        // With the commit, so that all servers subtract it from the same moment on.
        let update = format!("UPDATE horizon SET clock_correction = {corrected}");
        tx.connection().await?.execute(&update).await?;
        jumps.set_correction(corrected);
        report(jump, "the database's");
        gauge!(CLOCK_CORRECTION).set(Duration::from_micros(corrected.unsigned_abs()).as_secs_f64());
        Ok(())
    }
}

fn report(jump: i64, whose: &str) {
    let by = Duration::from_micros(jump.unsigned_abs());
    let direction = if jump > 0 { "forward" } else { "back" };
    counter!(CLOCK_JUMPS, "direction" => direction).increment(1);
    tracing::warn!(
        seconds = by.as_secs_f64(),
        direction,
        "{whose} clock was set; delays and deadlines go by what has really passed"
    );
}

#[derive(QueryableByName)]
struct Correction {
    #[diesel(sql_type = BigInt)]
    clock_correction: i64,
}

/// Two servers that notice at once correct it once.
const LOCK_CORRECTION: &str = "SELECT clock_correction FROM horizon FOR UPDATE";
