//! Which story the demonstration tells.

use clap::{Args, ValueEnum};

/// The flags of `viridian demo`.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct DemoArgs {
    /// How version 2 replaces version 1.
    #[arg(long, value_enum, default_value = "blue-green")]
    strategy: Strategy,
    /// Version 2 never becomes healthy: it is rolled back by itself.
    #[arg(long)]
    fail: bool,
    /// After the promotion go back to version 1, which is kept for that, at once.
    #[arg(long, conflicts_with = "fail")]
    rollback: bool,
}

/// How version 2 replaces version 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Strategy {
    /// All of version 2 comes up without traffic, then all traffic switches.
    BlueGreen,
    /// Replica by replica.
    Rolling,
}

/// Which story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Plot {
    /// Version 2 comes up beside version 1, waits, and is promoted.
    Promotion,
    /// The same, and then version 1 takes the traffic back.
    RollBack,
    /// Version 2 takes over replica by replica.
    Rolling,
    /// Version 2 never becomes healthy.
    Failure(Strategy),
}

/// Why the flags tell no story.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "--rollback goes with --strategy blue-green: a rolling update keeps no replica of version 1"
)]
pub(crate) struct PlotError;

impl TryFrom<DemoArgs> for Plot {
    type Error = PlotError;

    fn try_from(args: DemoArgs) -> Result<Self, PlotError> {
        match (args.strategy, args.fail, args.rollback) {
            (strategy, true, _) => Ok(Self::Failure(strategy)),
            (Strategy::BlueGreen, false, false) => Ok(Self::Promotion),
            (Strategy::BlueGreen, false, true) => Ok(Self::RollBack),
            (Strategy::Rolling, false, false) => Ok(Self::Rolling),
            (Strategy::Rolling, false, true) => Err(PlotError),
        }
    }
}

impl Plot {
    pub(super) fn strategy(self) -> Strategy {
        match self {
            Self::Promotion | Self::RollBack => Strategy::BlueGreen,
            Self::Rolling => Strategy::Rolling,
            Self::Failure(strategy) => strategy,
        }
    }
}

impl Strategy {
    /// Its name, as people say it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::BlueGreen => "blue-green",
            Self::Rolling => "rolling",
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::{DemoArgs, Plot, PlotError, Strategy};

    #[derive(Debug, Parser)]
    struct Line {
        #[command(flatten)]
        demo: DemoArgs,
    }

    #[test]
    fn flags_choose_the_plot() {
        for (line, plot) in [
            ("x", Ok(Plot::Promotion)),
            ("x --rollback", Ok(Plot::RollBack)),
            ("x --strategy rolling", Ok(Plot::Rolling)),
            ("x --fail", Ok(Plot::Failure(Strategy::BlueGreen))),
            (
                "x --fail --strategy rolling",
                Ok(Plot::Failure(Strategy::Rolling)),
            ),
            ("x --strategy rolling --rollback", Err(PlotError)),
        ] {
            let args = Line::try_parse_from(line.split(' ')).expect(line).demo;
            assert_eq!(Plot::try_from(args), plot, "{line}");
        }
        Line::try_parse_from(["x", "--fail", "--rollback"]).expect_err("one or the other");
    }
}
