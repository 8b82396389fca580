//! The terminal in full-screen mode, for live views.

use std::{env, io, io::IsTerminal as _, thread};

use ratatui::{
    DefaultTerminal, Frame,
    crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers},
};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// The terminal in full-screen mode. Restored on drop, also by a panic.
pub(crate) struct TerminalScreen(DefaultTerminal);

/// A key press, or a change of the terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum KeyPress {
    Letter(char),
    Up,
    Down,
    /// Escape, or Ctrl-C.
    Cancel,
    Other,
    /// The terminal has another size.
    Resized,
}

/// Whether stdin and stdout are a terminal that can draw.
pub(crate) fn is_live() -> bool {
    let dumb = env::var("TERM").is_ok_and(|term| term == "dumb");
    io::stdin().is_terminal() && io::stdout().is_terminal() && !dumb
}

impl TerminalScreen {
    pub(crate) fn open() -> io::Result<Self> {
        ratatui::try_init().map(Self)
    }

    pub(crate) fn draw(&mut self, render: impl FnOnce(&mut Frame<'_>)) -> io::Result<()> {
        self.0.draw(render).map(drop)
    }
}

impl Drop for TerminalScreen {
    fn drop(&mut self) {
        // If the terminal was closed, there is nothing to restore.
        let _ = ratatui::try_restore();
    }
}

/// Key presses from now on. Reading the terminal blocks, so that a thread does it. The
/// thread ends with the program.
pub(crate) fn key_presses() -> UnboundedReceiver<KeyPress> {
    let (sender, receiver) = unbounded_channel();
    // Detached: a blocking read of the terminal cannot be cancelled.
    thread::spawn(move || {
        while let Ok(event) = event::read() {
            let key = match event {
                // Some terminals also report the release of a key: one press must act once.
                Event::Key(key) if key.kind != KeyEventKind::Release => KeyPress::from(key),
                Event::Resize(..) => KeyPress::Resized,
                _ => continue,
            };
            if sender.send(key).is_err() {
                return;
            }
        }
    });
    receiver
}

impl From<KeyEvent> for KeyPress {
    fn from(key: KeyEvent) -> Self {
        match key.code {
            // In raw mode Ctrl-C is a key like others, and sends no signal.
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Self::Cancel,
            KeyCode::Char(letter) => Self::Letter(letter),
            KeyCode::Up => Self::Up,
            KeyCode::Down => Self::Down,
            KeyCode::Esc => Self::Cancel,
            _ => Self::Other,
        }
    }
}
