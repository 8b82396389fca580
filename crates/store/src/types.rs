//! Values of the domain as values of SQL types, on both engines: see
//! [`viridian_engine::sql_types`].

mod json;

use std::io::Write as _;

pub(crate) use diesel::internal::derives::as_expression::Bound;
use diesel::{
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sqlite::{Sqlite, SqliteValue},
};
use uuid::Uuid;
use viridian_engine::UnixMicros;
pub(crate) use viridian_engine::sql_types::{Document, Id, Instant, Label};
use viridian_strategy::{
    Availability, DeploymentId, Lifecycle, RevisionId, RouteHealth, RouteId, RouteStatus,
    RouteTraffic, SubStep, Timestamp,
};

pub(crate) use self::json::{Json, JsonText, TryJson};
use crate::record::{Action, CommitId, EventKind, HistoryOutcome, Operation, Protocol, RequestId};

/// Converts the database's time.
pub(crate) fn timestamp(UnixMicros(micros): UnixMicros) -> Timestamp {
    Timestamp::from_micros(micros)
}

/// A value of the domain, as a value of an SQL type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Sql<T>(pub(crate) T);

/// Lets a wrapper of values stand in queries and in rows.
macro_rules! in_queries {
    ($wrapper:ident $(<$T:ident>)?) => {
        impl<$($T,)? ST> diesel::expression::AsExpression<ST> for $wrapper $(<$T>)?
        where
            ST: diesel::sql_types::SqlType + diesel::expression::TypedExpressionType,
        {
            type Expression = $crate::types::Bound<ST, Self>;

            fn as_expression(self) -> Self::Expression {
                $crate::types::Bound::new(self)
            }
        }

        impl<'a, $($T,)? ST> diesel::expression::AsExpression<ST> for &'a $wrapper $(<$T>)?
        where
            ST: diesel::sql_types::SqlType + diesel::expression::TypedExpressionType,
        {
            type Expression = $crate::types::Bound<ST, Self>;

            fn as_expression(self) -> Self::Expression {
                $crate::types::Bound::new(self)
            }
        }

        impl<$($T,)? ST, DB> diesel::serialize::ToSql<diesel::sql_types::Nullable<ST>, DB>
            for $wrapper $(<$T>)?
        where
            DB: diesel::backend::Backend,
            ST: diesel::sql_types::SqlType<IsNull = diesel::sql_types::is_nullable::NotNull>,
            $wrapper $(<$T>)?: diesel::serialize::ToSql<ST, DB>,
        {
            fn to_sql<'b>(
                &'b self,
                out: &mut diesel::serialize::Output<'b, '_, DB>,
            ) -> diesel::serialize::Result {
                diesel::serialize::ToSql::<ST, DB>::to_sql(self, out)
            }
        }

        impl<$($T,)? ST, DB> diesel::deserialize::Queryable<ST, DB> for $wrapper $(<$T>)?
        where
            DB: diesel::backend::Backend,
            ST: diesel::sql_types::SingleValue,
            $wrapper $(<$T>)?: diesel::deserialize::FromSql<ST, DB>,
        {
            type Row = Self;

            fn build(row: Self::Row) -> diesel::deserialize::Result<Self> {
                Ok(row)
            }
        }
    };
}
pub(crate) use in_queries;

in_queries!(Sql<T>);

macro_rules! id {
    ($rust:ident) => {
        impl ToSql<Id, Pg> for Sql<$rust> {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.0.0.as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Id, Sqlite> for Sql<$rust> {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.0.0.as_bytes().as_slice());
                Ok(IsNull::No)
            }
        }

        impl FromSql<Id, Pg> for Sql<$rust> {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                Ok(Sql($rust(Uuid::from_slice(value.as_bytes())?)))
            }
        }

        impl FromSql<Id, Sqlite> for Sql<$rust> {
            fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                Ok(Sql($rust(Uuid::from_slice(value.read_blob())?)))
            }
        }
    };
}

id!(DeploymentId);
id!(RevisionId);
id!(RouteId);
id!(RequestId);
id!(CommitId);

/// 2000-01-01T00:00:00Z, from which PostgreSQL counts.
const POSTGRES_EPOCH: i64 = 946_684_800_000_000;

impl ToSql<Instant, Pg> for Sql<Timestamp> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(&(self.0.as_micros() - POSTGRES_EPOCH).to_be_bytes())?;
        Ok(IsNull::No)
    }
}

impl ToSql<Instant, Sqlite> for Sql<Timestamp> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        // Of fixed width, so that as text it sorts and compares like the time.
        out.set_value(self.0.to_string());
        Ok(IsNull::No)
    }
}

impl FromSql<Instant, Pg> for Sql<Timestamp> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        // PostgreSQL's `infinity` is the largest number, and must not overflow.
        let micros = i64::from_be_bytes(value.as_bytes().try_into()?);
        Ok(Sql(Timestamp::from_micros(
            micros.saturating_add(POSTGRES_EPOCH),
        )))
    }
}

impl FromSql<Instant, Sqlite> for Sql<Timestamp> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        let time: jiff::Timestamp = value.read_text().parse()?;
        Ok(Sql(Timestamp::from_micros(time.as_microsecond())))
    }
}

/// The word of a value in the database. Pinned here: the names that the domain
/// shows may change, those on disk may not.
trait Word {
    fn word(self) -> &'static str;
}

/// Keeps an enum as one word a variant.
macro_rules! label {
    ($rust:ident { $($variant:ident = $word:literal),+ $(,)? }) => {
        impl Word for $rust {
            fn word(self) -> &'static str {
                match self { $($rust::$variant => $word),+ }
            }
        }

        impl ToSql<Label, Pg> for Sql<$rust> {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
                out.write_all(self.0.word().as_bytes())?;
                Ok(IsNull::No)
            }
        }

        impl ToSql<Label, Sqlite> for Sql<$rust> {
            fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
                out.set_value(self.0.word());
                Ok(IsNull::No)
            }
        }

        impl FromSql<Label, Pg> for Sql<$rust> {
            fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
                match value.as_bytes() {
                    $(word if word == $word.as_bytes() => Ok(Sql($rust::$variant)),)+
                    // A later program's word. The row fails, instead of being taken for something
                    // else.
                    _ => Err(concat!("unknown ", stringify!($rust)).into()),
                }
            }
        }

        impl FromSql<Label, Sqlite> for Sql<$rust> {
            fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
                match value.read_text() {
                    $($word => Ok(Sql($rust::$variant)),)+
                    _ => Err(concat!("unknown ", stringify!($rust)).into()),
                }
            }
        }
    };
}

label!(Lifecycle {
    Pending = "PENDING",
    Ready = "READY",
    Deploying = "DEPLOYING",
    Destroying = "DESTROYING",
    Destroyed = "DESTROYED",
});
label!(SubStep {
    Provisioning = "PROVISIONING",
    AwaitingPromotion = "AWAITING_PROMOTION",
    Shifting = "SHIFTING",
    RollingBack = "ROLLING_BACK",
});
label!(Availability {
    Available = "AVAILABLE",
    Degraded = "DEGRADED",
    Unavailable = "UNAVAILABLE",
    Idle = "IDLE",
});
label!(Protocol { Http1 = "HTTP1", Http2 = "HTTP2", Tcp = "TCP" });
label!(RouteStatus {
    Provisioning = "PROVISIONING",
    Running = "RUNNING",
    Terminating = "TERMINATING",
    Terminated = "TERMINATED",
    FailedToStart = "FAILED_TO_START",
});
label!(RouteHealth {
    NotChecked = "NOT_CHECKED",
    Healthy = "HEALTHY",
    Unhealthy = "UNHEALTHY",
    Degraded = "DEGRADED",
});
label!(RouteTraffic { Active = "ACTIVE", Inactive = "INACTIVE" });

label!(Action { Start = "START", Stop = "STOP" });

label!(Operation {
    Create = "CREATE",
    Activate = "ACTIVATE",
    Evaluate = "EVALUATE",
    Promote = "PROMOTE",
    Shift = "SHIFT",
    Advance = "ADVANCE",
    RollBack = "ROLL_BACK",
    Update = "UPDATE",
    Abort = "ABORT",
    Pause = "PAUSE",
    Resume = "RESUME",
    Restart = "RESTART",
    DrainRoute = "DRAIN_ROUTE",
    Delete = "DELETE",
    RouteFailed = "ROUTE_FAILED",
    RouteReplaced = "ROUTE_REPLACED",
});

label!(HistoryOutcome {
    Success = "SUCCESS",
    Waiting = "WAITING",
    RolledBack = "ROLLED_BACK",
    Failed = "FAILED",
});

label!(EventKind {
    Created = "CREATED",
    Updated = "UPDATED",
    Moved = "MOVED",
    Promoted = "PROMOTED",
    Shifted = "SHIFTED",
    RolledBack = "ROLLED_BACK",
    Progressed = "PROGRESSED",
});
