//! JSON as a value of a column.

use std::io::{self, Write};

use diesel::{
    backend::Backend,
    deserialize::{self, FromSql},
    pg::{Pg, PgValue},
    serialize::{self, IsNull, Output, ToSql},
    sqlite::{Sqlite, SqliteValue},
};

use super::{Document, in_queries};
use crate::documents::Persisted;

/// A value that is kept as JSON.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Json<T>(pub(crate) T);

in_queries!(Json<T>);

impl<T: Persisted> Json<T> {
    /// The text of a value.
    pub(crate) fn text(value: &T) -> serde_json::Result<String> {
        serde_json::to_string(&T::Written::from(value))
    }

    /// How many bytes its text has.
    pub(crate) fn length(value: &T) -> i64 {
        let mut counter = ByteCounter(0);
        // What cannot be written fails where it is written.
        let _ = serde_json::to_writer(&mut counter, &T::Written::from(value));
        counter.0
    }

    /// The value that a text stands for.
    pub(crate) fn parse(text: &str) -> serde_json::Result<T> {
        serde_json::from_str::<T::Read>(text).map(Into::into)
    }
}

/// Counts what is written, and keeps nothing.
struct ByteCounter(i64);

impl Write for ByteCounter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<T: Persisted + std::fmt::Debug> ToSql<Document, Pg> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        // Into the message itself, which saves a copy of the document.
        serde_json::to_writer(out, &T::Written::from(&self.0))?;
        Ok(IsNull::No)
    }
}

impl<T: Persisted + std::fmt::Debug> ToSql<Document, Sqlite> for Json<T> {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(Self::text(&self.0)?);
        Ok(IsNull::No)
    }
}

impl<T: Persisted> FromSql<Document, Pg> for Json<T> {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        let read: T::Read = serde_json::from_slice(value.as_bytes())?;
        Ok(Self(read.into()))
    }
}

impl<T: Persisted> FromSql<Document, Sqlite> for Json<T> {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(Self::parse(value.read_text())?))
    }
}

/// A value that is kept as JSON, in a row that must not take others with it: none when it
/// does not parse.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct TryJson<T>(pub(crate) Option<T>);

in_queries!(TryJson<T>);

impl<T, DB: Backend> FromSql<Document, DB> for TryJson<T>
where
    Json<T>: FromSql<Document, DB>,
{
    fn from_sql(value: DB::RawValue<'_>) -> deserialize::Result<Self> {
        Ok(TryJson(Json::from_sql(value).ok().map(|Json(it)| it)))
    }
}

/// JSON that was made before, or is parsed later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct JsonText(pub(crate) String);

in_queries!(JsonText);

impl ToSql<Document, Pg> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Pg>) -> serialize::Result {
        out.write_all(self.0.as_bytes())?;
        Ok(IsNull::No)
    }
}

impl ToSql<Document, Sqlite> for JsonText {
    fn to_sql<'b>(&'b self, out: &mut Output<'b, '_, Sqlite>) -> serialize::Result {
        out.set_value(self.0.as_str());
        Ok(IsNull::No)
    }
}

impl FromSql<Document, Pg> for JsonText {
    fn from_sql(value: PgValue<'_>) -> deserialize::Result<Self> {
        Ok(Self(str::from_utf8(value.as_bytes())?.to_owned()))
    }
}

impl FromSql<Document, Sqlite> for JsonText {
    fn from_sql(mut value: SqliteValue<'_, '_, '_>) -> deserialize::Result<Self> {
        Ok(Self(value.read_text().to_owned()))
    }
}
