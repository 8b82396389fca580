use std::sync::{Mutex, MutexGuard, PoisonError};

/// Locks a mutex. What a panic left behind is as good as before it: no critical
/// section here leaves its data half changed.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
