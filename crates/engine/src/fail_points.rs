//! Points at which a test injects a fault: before each statement of a unit of work, while
//! it is under way, and after it. Only the feature `testing` has them.

#[cfg(feature = "testing")]
pub use self::testing::{FailPoints, Fault, Point, Side, answered, around, before, inherited};

/// Runs a statement, `fail_point!(query.await)`, with its points.
#[cfg(feature = "testing")]
#[doc(hidden)]
#[macro_export]
macro_rules! fail_point {
    ($statement:expr) => {{
        const HERE: &str = concat!(file!(), ":", line!());
        // Boxed, or the futures of a test get too large for its stack.
        let statement = Box::pin(async { $statement });
        $crate::fail_points::around(HERE, statement).await
    }};
}

/// Runs a statement. There are no points in this build.
#[cfg(not(feature = "testing"))]
#[doc(hidden)]
#[macro_export]
macro_rules! fail_point {
    ($statement:expr) => {
        $statement
    };
}

#[cfg(feature = "testing")]
mod testing;
