//! Amounts of routes, as people write them: `2` or `25%`.

use std::{fmt, str::FromStr};

use serde_json::Value;

/// A number of routes, or a percentage of the replicas.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::deployment) enum ReplicaAmount {
    Count(i32),
    Percent(i32),
}

/// A text that is not an amount.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a number of routes, or a percentage like 25%")]
pub(in crate::deployment) struct ReplicaAmountError;

impl FromStr for ReplicaAmount {
    type Err = ReplicaAmountError;

    fn from_str(text: &str) -> Result<Self, ReplicaAmountError> {
        let (digits, amount): (_, fn(i32) -> Self) = match text.strip_suffix('%') {
            Some(digits) => (digits, Self::Percent),
            None => (text, Self::Count),
        };
        digits.parse().map(amount).map_err(|_| ReplicaAmountError)
    }
}

impl fmt::Display for ReplicaAmount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

impl From<ReplicaAmount> for Value {
    fn from(amount: ReplicaAmount) -> Self {
        match amount {
            ReplicaAmount::Count(count) => count.into(),
            ReplicaAmount::Percent(_) => amount.to_string().into(),
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_amount_is_a_number_or_a_percentage() {
        for text in ["", "%", "x", "1.5", "25 %"] {
            assert!(text.parse::<super::ReplicaAmount>().is_err(), "{text}");
        }
    }
}
