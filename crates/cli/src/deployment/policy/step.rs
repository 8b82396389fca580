//! A step of a canary, as `--step` takes it: `25%:10m:manual`.

use std::{fmt, str::FromStr, time::Duration};

use serde_json::{Value, json};

use super::ReplicaAmount;
use crate::{
    duration::{self, DurationError},
    permille::{self, PermilleError},
};

/// `WEIGHT[:HOLD][:manual][:replicas=AMOUNT]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::deployment) struct StepArg {
    weight_permille: i32,
    hold: Option<Duration>,
    manual: bool,
    replicas: Option<ReplicaAmount>,
}

/// A text that is not a step.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::deployment) enum StepArgError {
    #[error("{0}; a step is {FORM}, like 5%:10m or 25%:10m:manual")]
    Weight(#[from] PermilleError),
    #[error(
        "{0:?} is neither a hold like 10m, nor manual, nor replicas=3 or replicas=25%; a step is \
         {FORM}"
    )]
    Part(String),
    #[error("{0} is named twice")]
    Repeated(&'static str),
}

const FORM: &str = "WEIGHT[:HOLD][:manual][:replicas=AMOUNT]";

impl FromStr for StepArg {
    type Err = StepArgError;

    fn from_str(text: &str) -> Result<Self, StepArgError> {
        let (weight, rest) = match text.split_once(':') {
            Some((weight, rest)) => (weight, Some(rest)),
            None => (text, None),
        };
        let mut step = Self {
            weight_permille: permille::parse(weight)?,
            hold: None,
            manual: false,
            replicas: None,
        };
        for part in rest.iter().flat_map(|it| it.split(':')) {
            step.add(part)?;
        }
        Ok(step)
    }
}

impl StepArg {
    fn add(&mut self, part: &str) -> Result<(), StepArgError> {
        let unknown = || StepArgError::Part(part.to_owned());
        let before = if part == "manual" {
            std::mem::replace(&mut self.manual, true).then_some("manual")
        } else if let Some(amount) = part.strip_prefix("replicas=") {
            let amount = amount.parse().map_err(|_| unknown())?;
            self.replicas
                .replace(amount)
                .map(|_| "its number of replicas")
        } else {
            let hold = duration::parse(part).map_err(|_: DurationError| unknown())?;
            self.hold.replace(hold).map(|_| "its hold")
        };
        before.map_or(Ok(()), |what| Err(StepArgError::Repeated(what)))
    }
}

/// As in a settings file.
impl From<StepArg> for Value {
    fn from(step: StepArg) -> Self {
        let mut fields = json!({"weight": permille::to_text(step.weight_permille)});
        // Absent keys leave the defaults to the server.
        if let Some(hold) = step.hold {
            fields["hold"] = duration::to_text(hold).into();
        }
        if step.manual {
            fields["manual"] = true.into();
        }
        if let Some(replicas) = step.replicas {
            fields["replicas"] = replicas.into();
        }
        fields
    }
}

/// In the form that is read.
impl fmt::Display for StepArg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&permille::to_text(self.weight_permille))?;
        if let Some(hold) = self.hold {
            write!(f, ":{}", duration::to_text(hold))?;
        }
        if self.manual {
            f.write_str(":manual")?;
        }
        match self.replicas {
            Some(amount) => write!(f, ":replicas={amount}"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_has_a_weight_and_what_else_is_named() {
        for (text, value) in [
            ("5%", json!({"weight": "5%"})),
            ("0%:5m", json!({"weight": "0%", "hold": "300s"})),
            ("25%:manual", json!({"weight": "25%", "manual": true})),
            (
                "2.5%:1h30m:manual:replicas=3",
                json!({"weight": "2.5%", "hold": "5400s", "manual": true, "replicas": 3}),
            ),
            (
                "50%:replicas=80%:10m",
                json!({"weight": "50%", "hold": "600s", "replicas": "80%"}),
            ),
        ] {
            let step: StepArg = text.parse().expect(text);
            assert_eq!(Value::from(step), value, "{text}");
            assert_eq!(step.to_string().parse(), Ok(step), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_with_a_step_is_said_in_words() {
        for (text, problem) in [
            ("", "expected a share of the traffic like 5% or 2.5%"),
            ("5:10m", "expected a share of the traffic like 5% or 2.5%"),
            ("5%:10", "\"10\" is neither a hold like 10m"),
            ("5%:", "\"\" is neither a hold like 10m"),
            ("5%:Manual", "\"Manual\" is neither a hold like 10m"),
            ("5%:replicas=", "\"replicas=\" is neither a hold like 10m"),
            ("5%:-1m", "\"-1m\" is neither a hold like 10m"),
            ("5%:1m:2m", "its hold is named twice"),
            ("5%:manual:manual", "manual is named twice"),
            (
                "5%:replicas=1:replicas=2",
                "its number of replicas is named twice",
            ),
        ] {
            let error = text.parse::<StepArg>().expect_err(text).to_string();
            assert!(error.starts_with(problem), "{text}: {error}");
        }
    }
}
