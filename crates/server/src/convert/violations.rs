//! Gathers what is wrong with a request, so that all of it is said at once.

use std::fmt;

use tonic::Status;
use tonic_types::FieldViolation;
use uuid::Uuid;

use crate::error::some_of_bad_request;

/// What is wrong with a request so far.
#[derive(Debug, Default)]
pub(crate) struct Violations {
    told: Vec<FieldViolation>,
    /// How much room those take.
    size: usize,
    total: usize,
}

impl Violations {
    /// Notes that a field is not valid.
    /// What does not fit into the headers that every client takes is only counted.
    pub(crate) fn add(&mut self, field: impl AsRef<str>, description: impl AsRef<str>) {
        self.total += 1;
        let (field, description) = (cut(field.as_ref()), cut(description.as_ref()));
        // Grows even by what does not fit, so that the listed
        // ones are the first ones without a gap.
        self.size += field.len() + description.len() + OVERHEAD;
        if self.size <= MAX_DETAILS_BYTES {
            self.told.push(FieldViolation::new(field, description));
        }
    }

    /// Notes it unless it holds.
    pub(crate) fn check(&mut self, holds: bool, field: &str, description: impl fmt::Display) {
        if !holds {
            self.add(field, description.to_string());
        }
    }

    /// A number within bounds.
    pub(crate) fn within(&mut self, field: &str, value: i32, low: u32, high: u32) -> u32 {
        // A negative number becomes 0, which may be within the bounds: hence the check of the sign.
        let number = u32::try_from(value).unwrap_or(0);
        let inside = value >= 0 && (low..=high).contains(&number);
        self.check(inside, field, format_args!("must be {low} to {high}"));
        number.clamp(low, high)
    }

    /// A text of a bounded length, without NUL, which not every database can keep.
    pub(crate) fn text(&mut self, field: &str, text: &str, longest: usize) {
        self.check(
            text.len() <= longest,
            field,
            format_args!("must be at most {longest} bytes"),
        );
        self.check(!text.contains('\0'), field, "must not contain NUL");
    }

    /// A number of items. Only as many as there may be need to be looked at.
    pub(crate) fn count(&mut self, field: &str, count: usize, most: usize) {
        self.check(count <= most, field, format_args!("must be at most {most}"));
    }

    /// A UUID.
    pub(crate) fn uuid(&mut self, field: &str, text: &str) -> Uuid {
        text.parse().unwrap_or_else(|_| {
            // The nil UUID is a stand-in: the violation refuses the request.
            self.add(field, "must be a UUID");
            Uuid::nil()
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    /// The status, if anything is wrong.
    pub(crate) fn finish(self) -> Result<(), Status> {
        if self.is_empty() {
            Ok(())
        } else {
            Err(self.into_status())
        }
    }

    /// The status of what is wrong.
    pub(crate) fn into_status(self) -> Status {
        some_of_bad_request(self.told, self.total)
    }
}

/// A text that may be the caller's, at a length that can be shown.
fn cut(text: &str) -> String {
    if text.len() <= MAX_VALUE_BYTES {
        return text.to_owned();
    }
    let end = text.floor_char_boundary(MAX_VALUE_BYTES);
    format!("{}…", &text[..end])
}

/// Details stand in a header, in base64, beside the message. Proxies take 4 KiB of headers
/// and no more: nginx does. The layers trim whatever is larger all the same.
const MAX_DETAILS_BYTES: usize = 2 * 1024;
const OVERHEAD: usize = 8;
const MAX_VALUE_BYTES: usize = 300;
