//! What inner layers have to say about the reply of a stream: what ends it early, and what
//! it keeps until its end.

use std::{
    any::Any,
    sync::{Arc, Mutex, PoisonError},
};

use axum::extract::Request;
use futures::future::BoxFuture;
use tonic::Status;

/// What ends a stream early, and what it keeps. In the extensions of the request; the body
/// takes it over once there is a reply.
#[derive(Clone, Default)]
pub(crate) struct StreamEnds(Arc<Mutex<EndConditions>>);

#[derive(Default)]
pub(crate) struct EndConditions {
    /// Each ends the stream with a status when it resolves.
    pub(crate) early: Vec<BoxFuture<'static, Status>>,
    /// Dropped at the end of the stream.
    pub(crate) kept: Vec<Box<dyn Any + Send>>,
}

impl StreamEnds {
    /// That of a request. Without an observer around it, it changes nothing.
    pub(crate) fn of(request: &Request) -> Self {
        request.extensions().get().cloned().unwrap_or_default()
    }

    /// Ends the stream with a status when a future resolves.
    pub(crate) fn end_when(&self, end: impl Future<Output = Status> + Send + 'static) {
        self.with(|conditions| conditions.early.push(Box::pin(end)));
    }

    /// Keeps something until the end of the stream.
    pub(crate) fn keep(&self, kept: impl Any + Send) {
        self.with(|conditions| conditions.kept.push(Box::new(kept)));
    }

    /// All that was said.
    pub(crate) fn take(&self) -> EndConditions {
        self.with(std::mem::take)
    }

    fn with<T>(&self, change: impl FnOnce(&mut EndConditions) -> T) -> T {
        change(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
