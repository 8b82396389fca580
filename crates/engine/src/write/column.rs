//! The values of one column.

use std::marker::PhantomData;

use diesel::{
    QueryResult,
    backend::Backend,
    pg::Pg,
    query_builder::AstPass,
    serialize::ToSql,
    sql_types::{Array, HasSqlType, SingleValue},
    sqlite::Sqlite,
};

/// A column of a table, with its value in each of some rows.
pub struct Column {
    pub(super) name: &'static str,
    values: Box<dyn Values>,
}

impl Column {
    /// By the column of the schema, whose type the values have.
    pub fn new<C, T>(_: C, values: Vec<T>) -> Self
    where
        C: diesel::Column,
        C::SqlType: SingleValue + Send + Sync + 'static,
        T: ToSql<C::SqlType, Pg> + ToSql<C::SqlType, Sqlite> + Send + Sync + 'static,
        Pg: HasSqlType<C::SqlType>,
        Sqlite: HasSqlType<C::SqlType>,
    {
        let values = Typed::<C::SqlType, T> {
            values,
            sql_type: PhantomData,
        };
        Self {
            name: C::NAME,
            values: Box::new(values),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.values.len()
    }

    /// All values, as one parameter.
    pub(super) fn array<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.values.array(out)
    }
}

/// A column for one of the engines.
pub(super) trait Value<DB: Backend> {
    /// The value in one row, as a parameter.
    fn value<'b>(&'b self, row: usize, out: AstPass<'_, 'b, DB>) -> QueryResult<()>;
}

impl Value<Pg> for Column {
    fn value<'b>(&'b self, row: usize, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.values.pg(row, out)
    }
}

impl Value<Sqlite> for Column {
    fn value<'b>(&'b self, row: usize, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.values.sqlite(row, out)
    }
}

/// The values of a column, of whatever type.
trait Values: Send + Sync {
    fn len(&self) -> usize;
    fn array<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    fn pg<'b>(&'b self, row: usize, out: AstPass<'_, 'b, Pg>) -> QueryResult<()>;
    fn sqlite<'b>(&'b self, row: usize, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()>;
}

struct Typed<ST, T> {
    values: Vec<T>,
    sql_type: PhantomData<ST>,
}

impl<ST, T> Values for Typed<ST, T>
where
    ST: SingleValue + Send + Sync,
    T: ToSql<ST, Pg> + ToSql<ST, Sqlite> + Send + Sync,
    Pg: HasSqlType<ST>,
    Sqlite: HasSqlType<ST>,
{
    fn len(&self) -> usize {
        self.values.len()
    }

    fn array<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<Array<ST>, [T]>(&self.values)
    }

    fn pg<'b>(&'b self, row: usize, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_bind_param::<ST, T>(&self.values[row])
    }

    fn sqlite<'b>(&'b self, row: usize, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_bind_param::<ST, T>(&self.values[row])
    }
}

/// Returns the columns of rows: `columns!(rows, Row { field, … } in table)`. The fields are
/// all that a row has, and are called like their columns.
#[macro_export]
macro_rules! columns {
    ($rows:expr, $row:ident { $($field:ident),+ $(,)? } in $table:ident) => {{
        $(let mut $field = Vec::new();)+
        for row in $rows {
            let $row { $($field: _),+ } = &row;
            $($field.push(row.$field);)+
        }
        vec![$($crate::Column::new($table::$field, $field)),+]
    }};
}
