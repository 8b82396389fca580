use std::error::Error;

use diesel::{
    Selectable,
    backend::Backend,
    deserialize::{self, FromSqlRow, StaticallySizedRow},
    pg::Pg,
    row::Row,
    sqlite::Sqlite,
};

use super::row::{DeploymentRow, LockedRow};

/// A row, or why it cannot be read: in a list one of them fails alone.
pub(super) struct TryRow<R>(pub(super) Result<R, Box<dyn Error + Send + Sync>>);

impl<R: Selectable<DB>, DB: Backend> Selectable<DB> for TryRow<R> {
    type SelectExpression = R::SelectExpression;

    fn construct_selection() -> Self::SelectExpression {
        R::construct_selection()
    }
}

/// By the engine, and with the number of the row's fields: for all of them at
/// once diesel leaves no room.
macro_rules! readable {
    ($row:ty, $engine:ty, $($field:ident),+) => {
        impl<$($field),+> FromSqlRow<($($field,)+), $engine> for TryRow<$row>
        where
            $row: FromSqlRow<($($field,)+), $engine>,
        {
            fn build_from_row<'a>(row: &impl Row<'a, $engine>) -> deserialize::Result<Self> {
                Ok(Self(<$row>::build_from_row(row)))
            }
        }

        impl<$($field),+> StaticallySizedRow<($($field,)+), $engine> for TryRow<$row>
        where
            $row: StaticallySizedRow<($($field,)+), $engine>,
        {
            const FIELD_COUNT: usize = <$row>::FIELD_COUNT;
        }
    };
}

readable!(DeploymentRow, Pg, A, B);
readable!(DeploymentRow, Sqlite, A, B);
readable!(LockedRow, Pg, A, B, C, D, E, F);
readable!(LockedRow, Sqlite, A, B, C, D, E, F);
