//! The whole terminal, for what is shown live.

use std::{env, io, io::IsTerminal as _, thread};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The whole terminal. As it was before when it is dropped, also by a panic.
pub(crate) struct Screen(DefaultTerminal);

/// What someone pressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Key {
    Letter(char),
    Up,
    Down,
    /// Escape, or Ctrl-C.
    Out,
    Other,
    /// The terminal has another size.
    Resized,
}

/// Whether there is someone to look at it and to press keys, on a terminal that
/// can draw.
pub(crate) fn is_live() -> bool {
    let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

impl Screen {
    pub(crate) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }

    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(render).map(drop)
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        // Where the terminal is gone there is nothing to restore.
        let _ = ratatui::try_restore();
    }
}

/// What is pressed from now on. Reading blocks, so that it has a thread of its own,
/// which ends with the program.
pub(crate) fn keys() -> UnboundedReceiver<Key> {
    let (pressed, keys) = unbounded_channel();
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            let key = match event {
                Event::Key(key) if key.kind != KeyEventKind::Release => Key::from(key),
                Event::Resize(..) => Key::Resized,
                _ => continue,
            };
            if pressed.send(key).is_err() {
                return;
            }
        }
    });
    keys
}

impl From<KeyEvent> for Key {
    fn from(key: KeyEvent) -> Self {
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Self::Out,
            KeyCode::Char(letter) => Self::Letter(letter),
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Esc => Self::Out,
            _ => Self::Other,
        }
    }
}
