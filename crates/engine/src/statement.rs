//! Parts of statements that the engines write differently, or that diesel would prepare
//! again at each call.

use diesel::{
    QueryResult, Selectable, SelectableHelper as _,
    backend::Backend,
    dsl::AsSelect,
    pg::Pg,
    query_builder::{AstPass, Query, QueryFragment, QueryId},
    sqlite::Sqlite,
};

/// Appends `FOR UPDATE` to a query on PostgreSQL. SQLite has one writer, so there a
/// transaction holds every lock already.
pub trait ForUpdate: Sized {
    /// Locks the rows that the query returns.
    fn lock_rows(self, wait: LockWait) -> ForUpdateQuery<Self> {
        ForUpdateQuery { query: self, wait }
    }
}

impl<Q: Query> ForUpdate for Q {}

/// What a query does about rows that others have locked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LockWait {
    /// It waits, as long as the session's `lock_timeout` allows.
    ForAll,
    /// It skips them.
    Never,
    /// There are none: this transaction has locked them already.
    Locked,
}

/// Returned by [`ForUpdate::lock_rows`].
#[derive(Clone, Copy, Debug)]
pub struct ForUpdateQuery<Q> {
    query: Q,
    wait: LockWait,
}

impl<Q: QueryId> QueryId for ForUpdateQuery<Q> {
    type QueryId = ();

    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for ForUpdateQuery<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> diesel::RunQueryDsl<C> for ForUpdateQuery<Q> {}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for ForUpdateQuery<Q> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.query.walk_ast(out.reborrow())?;
        out.push_sql(match self.wait {
            LockWait::ForAll => " FOR UPDATE",
            LockWait::Never => " FOR UPDATE SKIP LOCKED",
            LockWait::Locked => "",
        });
        Ok(())
    }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for ForUpdateQuery<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.query.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, backend: &Sqlite) -> QueryResult<bool> {
        self.query.is_safe_to_cache_prepared(backend)
    }
}

/// Has a statement prepared once per connection. diesel assumes that the text of some
/// statements varies and prepares those at each call, which costs a round trip on
/// PostgreSQL. Use it only where the text never varies there and where lists are padded
/// by [`pad_to_power_of_two`].
pub trait Cacheable: Sized {
    /// Marks the statement as one whose text does not vary.
    fn cached(self) -> Cached<Self> {
        Cached(self)
    }
}

impl<Q> Cacheable for Q {}

/// Returned by [`Cacheable::cached`].
#[derive(Clone, Copy, Debug)]
pub struct Cached<Q>(Q);

impl<Q> QueryId for Cached<Q> {
    type QueryId = ();

    // So it is cached by its text. By its type, two texts of one type would share a statement.
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Q: Query> Query for Cached<Q> {
    type SqlType = Q::SqlType;
}

impl<Q, C> diesel::RunQueryDsl<C> for Cached<Q> {}

impl<Q: QueryFragment<Pg>> QueryFragment<Pg> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Pg) -> QueryResult<bool> {
        Ok(true)
    }
}

impl<Q: QueryFragment<Sqlite>> QueryFragment<Sqlite> for Cached<Q> {
    fn walk_ast<'b>(&'b self, out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        self.0.walk_ast(out)
    }

    fn is_safe_to_cache_prepared(&self, _: &Sqlite) -> QueryResult<bool> {
        Ok(true)
    }
}

/// Repeats the last value of a list until its length is a power of two. A list is part of
/// a statement's text on SQLite, so this keeps the number of statements small. The rows
/// that the list selects stay the same.
pub fn pad_to_power_of_two<T: Clone>(mut list: Vec<T>) -> Vec<T> {
    if let Some(last) = list.last().cloned() {
        list.resize(list.len().next_power_of_two(), last);
    }
    list
}

/// Returns the columns of a row for a named backend: see [`load!`](crate::load).
pub fn selected<Row: Selectable<DB>, DB: Backend>() -> AsSelect<Row, DB> {
    Row::as_select()
}

#[cfg(test)]
mod tests {
    use super::pad_to_power_of_two;

    #[test]
    fn padded_lists_have_few_lengths_and_the_same_values() {
        assert!(pad_to_power_of_two(Vec::<u8>::new()).is_empty());
        assert_eq!(pad_to_power_of_two(vec![7]), [7]);
        assert_eq!(pad_to_power_of_two(vec![1, 2, 3]), [1, 2, 3, 3]);
        assert_eq!(pad_to_power_of_two((0..200).collect()).len(), 256);
    }
}
