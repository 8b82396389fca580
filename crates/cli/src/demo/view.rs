//! The view of the demonstration: live on a terminal, lines elsewhere.

use std::{io, time::Instant};

use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    frame::{DemoFrame, RouteRow, padded_name},
    operator::DEPLOYMENT,
};
use crate::{deployment::show::RouteColour, output};

/// Shows the demonstration.
pub(super) enum DemoView {
    /// A table that is redrawn, with a log above it.
    Live(LiveView),
    /// A line for each change.
    Plain(PlainView),
}

impl DemoView {
    /// A live view if stdout is a terminal that can draw, and no log lines will be
    /// written to it.
    pub(super) fn open(logs_to_stderr: bool) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if Term::stdout().is_term() && !dumb && !logs_to_stderr {
            Self::Live(LiveView::new())
        } else {
            Self::Plain(PlainView::new())
        }
    }

    /// Prints a message.
    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Live(live) => live.say(text),
            Self::Plain(plain) => plain.say(text),
        }
    }

    /// Prints a command on its own lines, ready to be copied.
    pub(super) fn quote(&self, command: &str) -> io::Result<()> {
        for line in command.lines() {
            match self {
                Self::Live(live) => {
                    live.print(&format!("{COMMAND_INDENT}{}", style(line).cyan()))?
                }
                Self::Plain(_) => output::line(&format!("{COMMAND_INDENT}{line}"))?,
            }
        }
        Ok(())
    }

    /// Shows a frame.
    pub(super) fn show(&mut self, frame: DemoFrame) -> io::Result<()> {
        match self {
            Self::Live(live) => live.show(frame),
            Self::Plain(plain) => plain.show(frame),
        }
    }

    /// Leaves the last frame on the screen.
    pub(super) fn keep(&self) -> io::Result<()> {
        match self {
            Self::Live(live) => live.keep(),
            Self::Plain(_) => Ok(()),
        }
    }

    /// Removes the table from the screen.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self {
            Self::Live(live) => live.screen.clear(),
            Self::Plain(_) => Ok(()),
        }
    }
}

/// Prints lines with the time since the start.
pub(super) struct PlainView {
    elapsed: ElapsedTime,
    shown: DemoFrame,
}

impl PlainView {
    fn new() -> Self {
        Self {
            elapsed: ElapsedTime::start(),
            shown: DemoFrame::default(),
        }
    }

    fn say(&self, text: &str) -> io::Result<()> {
        output::line(&format!("{}  {text}", self.elapsed.stamp()))
    }

    fn show(&mut self, frame: DemoFrame) -> io::Result<()> {
        for change in frame.changes_since(&self.shown) {
            self.say(&format!("    {change}"))?;
        }
        self.shown = frame;
        Ok(())
    }
}

/// Redraws two lines for the deployment, one for each route, and one for the requests.
pub(super) struct LiveView {
    elapsed: ElapsedTime,
    screen: MultiProgress,
    space: ProgressBar,
    state: ProgressBar,
    reason: ProgressBar,
    routes: Vec<ProgressBar>,
    requests: ProgressBar,
    shown: DemoFrame,
}

impl LiveView {
    fn new() -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self {
            elapsed: ElapsedTime::start(),
            space: screen.add(text_line()),
            state: screen.add(text_line()),
            reason: screen.add(text_line()),
            requests: screen.add(text_line()),
            routes: Vec::new(),
            shown: DemoFrame::default(),
            screen,
        }
    }

    fn say(&self, text: &str) -> io::Result<()> {
        self.print(&format!("{}  {text}", style(self.elapsed.stamp()).dim()))
    }

    fn print(&self, line: &str) -> io::Result<()> {
        self.screen.println(line)
    }

    fn show(&mut self, frame: DemoFrame) -> io::Result<()> {
        // Routes are only added: ended ones stay in the list of the server.
        while self.routes.len() < frame.routes.len() {
            let line = self.screen.insert_before(&self.requests, text_line());
            self.routes.push(line);
        }
        for (line, route) in self.routes.iter().zip(&frame.routes) {
            line.set_message(paint(route));
        }
        // A line without a message is drawn by a tick only.
        self.space.tick();
        self.state.set_message(headline(&frame));
        self.reason.set_message(reason(&frame));
        self.requests.set_message(frame.requests());
        self.shown = frame;
        Ok(())
    }

    fn keep(&self) -> io::Result<()> {
        self.screen.clear()?;
        // It failed before the first frame: there is nothing to leave on the screen.
        if self.shown == DemoFrame::default() {
            return Ok(());
        }
        output::line(&format!("\n{}", headline(&self.shown)))?;
        for route in &self.shown.routes {
            output::line(&paint(route))?;
        }
        output::line("")
    }
}

/// The time since the start.
struct ElapsedTime(Instant);

impl ElapsedTime {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn stamp(&self) -> String {
        format!("{:5.1} s", self.0.elapsed().as_secs_f64())
    }
}

/// A line of text, cut off at the edge of the terminal.
fn text_line() -> ProgressBar {
    let line = ProgressBar::no_length();
    // On an error the default style stays, which shows a spinner before the text.
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        line.set_style(style);
    }
    line
}

fn headline(frame: &DemoFrame) -> String {
    format!("{DEPLOYMENT}  {}", style(&frame.state).bold())
}

fn reason(frame: &DemoFrame) -> String {
    format!("  {}", style(&frame.waits_for).yellow())
}

fn paint(route: &RouteRow) -> String {
    let name = padded_name(route.colour);
    let text = match route.colour {
        RouteColour::Blue => route.text(&style(name).blue().bold().to_string()),
        RouteColour::Green => route.text(&style(name).green().bold().to_string()),
        RouteColour::Old => style(route.text(&name)).dim().to_string(),
    };
    format!("  {text}")
}

/// Short, so that a command fits on one line.
const COMMAND_INDENT: &str = "    ";
