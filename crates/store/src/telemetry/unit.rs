//! The span and the metrics of a unit of work.

use std::time::Instant;

use metrics::{counter, histogram};
use tracing::{Instrument as _, info_span};
use viridian_strategy::DeploymentId;

use super::names::{UNIT_DURATION, UNITS};
use crate::error::{StoreError, UnitError};

/// Runs a unit of work in its own span, and measures it.
pub(crate) trait InUnit<T, E: UnitFailure>: Future<Output = Result<T, E>> + Sized {
    /// Names the unit, and the deployment if it is about one.
    fn in_unit(
        self,
        unit: &'static str,
        deployment: impl Into<Option<DeploymentId>>,
    ) -> impl Future<Output = Result<T, E>> {
        let deployment = deployment.into().map(tracing::field::display);
        let span = info_span!("unit", unit, deployment);
        let work = async move {
            let mut measuring = Measuring::begin(unit);
            let result = self.await;
            measuring.outcome = result.as_ref().err().map_or("committed", E::outcome);
            result
        };
        work.instrument(span)
    }
}

impl<T, E: UnitFailure, F: Future<Output = Result<T, E>>> InUnit<T, E> for F {}

/// Why a unit of work failed, as a value of the label `outcome`.
pub(crate) trait UnitFailure {
    fn outcome(&self) -> &'static str;
}

impl UnitFailure for StoreError {
    fn outcome(&self) -> &'static str {
        match self {
            // Dashboards use these words, so they stay when a variant is renamed.
            Self::Unavailable(_) => "away",
            Self::Unwritable(_) => "unwritable",
            Self::PoolTimeout => "exhausted",
            Self::LockTimeout => "held",
            Self::TimedOut => "timed_out",
            Self::ClockSet => "clock_set",
            Self::OverQuota(_) => "refused",
            Self::Conflict { .. } | Self::Corrupt { .. } | Self::Internal(_) => "failed",
        }
    }
}

impl<R> UnitFailure for UnitError<R> {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Store(error) => error.outcome(),
            Self::NoDeployment(_)
            | Self::Generation { .. }
            | Self::RequestIdReused
            | Self::Refused(_) => "refused",
        }
    }
}

/// Measures until it is dropped. A cancelled unit drops it too, and is counted.
struct Measuring {
    unit: &'static str,
    outcome: &'static str,
    since: Instant,
}

impl Measuring {
    fn begin(unit: &'static str) -> Self {
        Self {
            unit,
            // This stays if the caller goes away, since nothing after the `await` runs then.
            outcome: "given_up",
            since: Instant::now(),
        }
    }
}

impl Drop for Measuring {
    fn drop(&mut self) {
        counter!(UNITS, "unit" => self.unit, "outcome" => self.outcome).increment(1);
        histogram!(UNIT_DURATION, "unit" => self.unit).record(self.since.elapsed());
    }
}
