//! What a test arms, and what happens at each point.

use std::{
    fmt,
    panic::resume_unwind,
    pin::{Pin, pin},
    sync::{Arc, Mutex, PoisonError},
};

use diesel::{QueryResult, result::Error};
use futures::poll;
use tokio::{sync::Notify, task_local};

task_local! {
    /// The points of the unit of work that this task runs.
    static FAULTS: Arc<FailPoints>;
}

/// What happens at a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The statement fails.
    Error,
    /// The code panics.
    Panic,
    /// The caller goes away.
    Gone,
}

/// A point that was passed.
#[derive(Clone, Copy)]
pub struct Point {
    /// Where the statement is in the source.
    pub statement: &'static str,
    /// On which side of it.
    pub side: Side,
}

/// The side of a statement on which a point is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Before it.
    Before,
    /// It was sent, and is not answered.
    Sent,
    /// After it.
    Behind,
}

/// The fault that one run of a unit of work meets, if any.
#[derive(Default)]
pub struct FailPoints {
    /// At which point, counted from 0.
    armed: Option<(usize, Fault)>,
    passed: Mutex<Vec<Point>>,
    reached: Notify,
    gone: Notify,
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let side = match self.side {
            Side::Before => "before",
            Side::Sent => "in the middle of",
            Side::Behind => "after",
        };
        write!(f, "{side} {}", self.statement)
    }
}

impl FailPoints {
    /// Arms one point, counted from 0.
    pub fn at(point: usize, fault: Fault) -> Self {
        Self {
            armed: Some((point, fault)),
            ..Self::default()
        }
    }

    /// Runs a unit of work that meets it.
    pub async fn meet<T>(self: Arc<Self>, unit: impl Future<Output = T>) -> T {
        FAULTS.scope(self, unit).await
    }

    /// Returns the points that were passed.
    pub fn passed(&self) -> Vec<Point> {
        let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.clone()
    }

    /// Waits until its point is reached, for a caller to go away.
    pub async fn reached(&self) {
        self.reached.notified().await;
    }

    /// Says that the caller is gone: what does not end with it continues.
    pub fn caller_is_gone(&self) {
        self.gone.notify_one();
    }

    /// Records that a point is passed, and returns what happens there.
    fn pass(&self, statement: &'static str, side: Side) -> Option<Fault> {
        let mut passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
        passed.push(Point { statement, side });
        let (_, fault) = self.armed.filter(|(at, _)| *at + 1 == passed.len())?;
        Some(fault)
    }

    async fn wait_until_gone(&self) {
        self.reached.notify_one();
        self.gone.notified().await;
    }
}

/// Runs a statement with its points.
pub async fn around<T>(
    statement: &'static str,
    work: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    before(statement).await?;
    answered(statement, work).await
}

/// Passes the point before a statement.
pub async fn before(statement: &'static str) -> QueryResult<()> {
    point(statement, Side::Before).await
}

/// Runs a statement with the points after its start.
pub async fn answered<T>(
    statement: &'static str,
    work: impl Future<Output = QueryResult<T>>,
) -> QueryResult<T> {
    let mut work = pin!(work);
    let result = match sent(statement, work.as_mut()).await {
        Some(result) => result,
        None => work.await,
    };
    point(statement, Side::Behind).await?;
    result
}

async fn point(statement: &'static str, side: Side) -> QueryResult<()> {
    let Ok(faults) = FAULTS.try_with(Arc::clone) else {
        return Ok(());
    };
    match faults.pass(statement, side) {
        None => Ok(()),
        Some(Fault::Error) => Err(Error::QueryBuilderError("an injected fault".into())),
        // Without the panic hook, which would print it.
        Some(Fault::Panic) => resume_unwind(Box::new("an injected fault")),
        Some(Fault::Gone) => {
            faults.wait_until_gone().await;
            Ok(())
        }
    }
}

/// Passes the point at which a statement is sent: only a caller can go away there.
async fn sent<T>(statement: &'static str, work: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let faults = FAULTS.try_with(Arc::clone).ok()?;
    faults
        .pass(statement, Side::Sent)
        .filter(|fault| *fault == Fault::Gone)?;
    let result = match poll!(work) {
        std::task::Poll::Ready(result) => Some(result),
        std::task::Poll::Pending => None,
    };
    faults.wait_until_gone().await;
    result
}

/// Returns work for another task that meets the faults of this one.
pub fn inherited<F: Future<Output = ()>>(work: F) -> impl Future<Output = ()> {
    let faults = FAULTS.try_with(Arc::clone).ok();
    async move {
        match faults {
            Some(faults) => faults.meet(work).await,
            None => work.await,
        }
    }
}
