//! Gathers what is wrong with a request, so that all of it is said at once.

use std::fmt;

use tonic::Status;
use tonic_types::FieldViolation;
use uuid::Uuid;

use crate::error::bad_request;

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(crate) struct Violations(Vec<FieldViolation>);

impl Violations {
    /// Notes that a field is not valid.
    pub(crate) fn add(&mut self, field: impl Into<String>, description: impl Into<String>) {
        self.0.push(FieldViolation::new(field, description));
    }

    /// Notes it unless it holds.
    pub(crate) fn check(&mut self, holds: bool, field: &str, description: impl fmt::Display) {
        if !holds {
            self.add(field, description.to_string());
        }
    }

    /// A number within bounds.
    pub(crate) fn within(&mut self, field: &str, value: i32, low: u32, high: u32) -> u32 {
        let number = u32::try_from(value).unwrap_or(0);
        let inside = value >= 0 && (low..=high).contains(&number);
        self.check(inside, field, format_args!("must be {low} to {high}"));
        number.clamp(low, high)
    }

    /// A UUID.
    pub(crate) fn uuid(&mut self, field: &str, text: &str) -> Uuid {
        text.parse().unwrap_or_else(|_| {
            self.add(field, "must be a UUID");
            Uuid::nil()
        })
    }

    /// The status, if anything is wrong.
    pub(crate) fn finish(self) -> Result<(), Status> {
        if self.0.is_empty() {
            Ok(())
        } else {
            Err(bad_request(self.0))
        }
    }
}
