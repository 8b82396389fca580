//! Points at which a test can inject a fault: before each statement of a unit
//! of work, once it is sent, and behind it. Outside tests there are none.

#[cfg(test)]
pub(crate) use self::testing::{
    FailPoints, Fault, Point, Side, answered, around, before, inherited,
};

/// Runs a statement, `fail_point!(query.await)`, with its points.
macro_rules! fail_point {
    ($statement:expr) => {{
        #[cfg(test)]
        let result = {
            const HERE: &str = concat!(file!(), ":", line!());
            // Boxed, or the futures of a test get too large for its stack.
            let statement = Box::pin(async { $statement });
            $crate::fail_points::around(HERE, statement).await
        };
        #[cfg(not(test))]
        let result = $statement;
        result
    }};
}
pub(crate) use fail_point;

#[cfg(test)]
mod testing {
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
        /// Those of the unit of work that this task does.
        static FAULTS: Arc<FailPoints>;
    }

    /// What happens at a point.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Fault {
        /// The statement fails.
        Error,
        /// The code panics.
        Panic,
        /// The caller goes away.
        Gone,
    }

    /// A point that was passed.
    #[derive(Clone, Copy)]
    pub(crate) struct Point {
        /// Where the statement is in the source.
        pub(crate) statement: &'static str,
        pub(crate) side: Side,
    }

    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Side {
        Before,
        /// Sent, and not answered.
        Sent,
        Behind,
    }

    /// The fault that one run of a unit of work meets, if any.
    #[derive(Default)]
    pub(crate) struct FailPoints {
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
                Side::Behind => "behind",
            };
            write!(f, "{side} {}", self.statement)
        }
    }

    impl FailPoints {
        /// One at a point, counted from 0.
        pub(crate) fn at(point: usize, fault: Fault) -> Self {
            Self {
                armed: Some((point, fault)),
                ..Self::default()
            }
        }

        /// Has a unit of work meet it.
        pub(crate) async fn meet<T>(self: Arc<Self>, unit: impl Future<Output = T>) -> T {
            FAULTS.scope(self, unit).await
        }

        /// The points that were passed.
        pub(crate) fn passed(&self) -> Vec<Point> {
            let passed = self.passed.lock().unwrap_or_else(PoisonError::into_inner);
            passed.clone()
        }

        /// Waits until its point is reached, for a caller to go away.
        pub(crate) async fn reached(&self) {
            self.reached.notified().await;
        }

        /// Says that the caller has gone: what does not end with it goes on.
        pub(crate) fn caller_is_gone(&self) {
            self.gone.notify_one();
        }

        /// Notes that a point is passed, and gives what is to happen there.
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

    /// A statement with its points.
    pub(crate) async fn around<T>(
        statement: &'static str,
        work: impl Future<Output = QueryResult<T>>,
    ) -> QueryResult<T> {
        before(statement).await?;
        answered(statement, work).await
    }

    /// The point before a statement.
    pub(crate) async fn before(statement: &'static str) -> QueryResult<()> {
        point(statement, Side::Before).await
    }

    /// A statement with the points behind its start.
    pub(crate) async fn answered<T>(
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

    /// The point at which a statement is sent: only a caller can go away there.
    async fn sent<T>(
        statement: &'static str,
        work: Pin<&mut impl Future<Output = T>>,
    ) -> Option<T> {
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

    /// Work for another task that meets the faults of this one.
    pub(crate) fn inherited<F: Future<Output = ()>>(work: F) -> impl Future<Output = ()> {
        let faults = FAULTS.try_with(Arc::clone).ok();
        async move {
            match faults {
                Some(faults) => faults.meet(work).await,
                None => work.await,
            }
        }
    }
}
