//! How the demonstration is shown: a picture that moves on a terminal, lines
//! otherwise.

use std::{io, time::Instant};

use console::{Term, style};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{
    operator::DEPLOYMENT,
    scene::{RouteLine, Scene, wide},
};
use crate::{deployment::show::Colour, output};

/// Shows what happens.
pub(super) enum View {
    /// A picture that moves, with a log above it.
    Live(Live),
    /// A line for each thing that happens.
    Plain(Plain),
}

impl View {
    /// A live view if stdout is a terminal that can draw and nothing else is
    /// going to write to it.
    pub(super) fn open(others_write: bool) -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|term| term == "dumb");
        if Term::stdout().is_term() && !dumb && !others_write {
            Self::Live(Live::new())
        } else {
            Self::Plain(Plain::new())
        }
    }

    /// Tells something that is done or happens.
    pub(super) fn say(&self, text: &str) -> io::Result<()> {
        match self {
            Self::Live(live) => live.say(text),
            Self::Plain(plain) => plain.say(text),
        }
    }

    /// Shows a command, on lines of its own that can be copied.
    pub(super) fn quote(&self, command: &str) -> io::Result<()> {
        for line in command.lines() {
            match self {
                Self::Live(live) => live.print(&format!("{QUOTE}{}", style(line).cyan()))?,
                Self::Plain(_) => output::line(&format!("{QUOTE}{line}"))?,
            }
        }
        Ok(())
    }

    /// Shows the present moment.
    pub(super) fn show(&mut self, scene: Scene) -> io::Result<()> {
        match self {
            Self::Live(live) => live.show(scene),
            Self::Plain(plain) => plain.show(scene),
        }
    }

    /// Leaves the last picture on the screen.
    pub(super) fn keep(&self) -> io::Result<()> {
        match self {
            Self::Live(live) => live.keep(),
            Self::Plain(_) => Ok(()),
        }
    }

    /// Takes the picture off the screen.
    pub(super) fn clear(&self) -> io::Result<()> {
        match self {
            Self::Live(live) => live.screen.clear(),
            Self::Plain(_) => Ok(()),
        }
    }
}

/// Lines with the time since the start.
pub(super) struct Plain {
    clock: Clock,
    shown: Scene,
}

impl Plain {
    fn new() -> Self {
        Self {
            clock: Clock::start(),
            shown: Scene::default(),
        }
    }

    fn say(&self, text: &str) -> io::Result<()> {
        output::line(&format!("{}  {text}", self.clock.stamp()))
    }

    fn show(&mut self, scene: Scene) -> io::Result<()> {
        for change in scene.changes_since(&self.shown) {
            self.say(&format!("    {change}"))?;
        }
        self.shown = scene;
        Ok(())
    }
}

/// Two lines for the deployment, one for each route, one for the requests.
pub(super) struct Live {
    clock: Clock,
    screen: MultiProgress,
    space: ProgressBar,
    state: ProgressBar,
    reason: ProgressBar,
    routes: Vec<ProgressBar>,
    requests: ProgressBar,
    shown: Scene,
}

impl Live {
    fn new() -> Self {
        let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stdout());
        Self {
            clock: Clock::start(),
            space: screen.add(text_line()),
            state: screen.add(text_line()),
            reason: screen.add(text_line()),
            requests: screen.add(text_line()),
            routes: Vec::new(),
            shown: Scene::default(),
            screen,
        }
    }

    fn say(&self, text: &str) -> io::Result<()> {
        self.print(&format!("{}  {text}", style(self.clock.stamp()).dim()))
    }

    fn print(&self, line: &str) -> io::Result<()> {
        self.screen.println(line)
    }

    fn show(&mut self, scene: Scene) -> io::Result<()> {
        while self.routes.len() < scene.routes.len() {
            let line = self.screen.insert_before(&self.requests, text_line());
            self.routes.push(line);
        }
        for (line, route) in self.routes.iter().zip(&scene.routes) {
            line.set_message(paint(route));
        }
        self.space.tick();
        self.state.set_message(headline(&scene));
        self.reason.set_message(reason(&scene));
        self.requests.set_message(scene.requests());
        self.shown = scene;
        Ok(())
    }

    fn keep(&self) -> io::Result<()> {
        self.screen.clear()?;
        if self.shown == Scene::default() {
            return Ok(());
        }
        output::line(&format!("\n{}", headline(&self.shown)))?;
        for route in &self.shown.routes {
            output::line(&paint(route))?;
        }
        output::line("")
    }
}

/// The time since the start, as a stamp in front of lines.
struct Clock(Instant);

impl Clock {
    fn start() -> Self {
        Self(Instant::now())
    }

    fn stamp(&self) -> String {
        format!("{:5.1} s", self.0.elapsed().as_secs_f64())
    }
}

/// A line of the picture: a text, cut off where the terminal ends.
fn text_line() -> ProgressBar {
    let line = ProgressBar::no_length();
    // The fall-back shows a spinner before the text.
    if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
        line.set_style(style);
    }
    line
}

fn headline(scene: &Scene) -> String {
    format!("{DEPLOYMENT}  {}", style(&scene.state).bold())
}

fn reason(scene: &Scene) -> String {
    format!("  {}", style(&scene.waits_for).yellow())
}

fn paint(route: &RouteLine) -> String {
    let name = wide(route.colour);
    let text = match route.colour {
        Colour::Blue => route.text(&style(name).blue().bold().to_string()),
        Colour::Green => route.text(&style(name).green().bold().to_string()),
        Colour::Old => style(route.text(&name)).dim().to_string(),
    };
    format!("  {text}")
}

/// What stands before a command. Little, so that it fits on a line.
const QUOTE: &str = "    ";
