//! Questions to the user at the terminal.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::DeploymentError;

/// Asks for confirmation if stdin and stderr are a terminal. Anything but a yes declines.
pub(super) fn ask(question: &str) -> Result<(), DeploymentError> {
    if !can_ask() {
        return Ok(());
    }
    // On stderr: stdout may be redirected to a file.
    let mut stderr = io::stderr().lock();
    write!(stderr, "{question} [y/N] ")
        .and_then(|()| stderr.flush())
        .map_err(DeploymentError::Ask)?;
    let mut reply = String::new();
    io::stdin()
        .lock()
        .read_line(&mut reply)
        .map_err(DeploymentError::Ask)?;
    // The default is no: Enter alone must not start anything.
    if is_yes(&reply) {
        Ok(())
    } else {
        Err(DeploymentError::Declined)
    }
}

/// Whether the user would see a question, and could answer it.
pub(super) fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

fn is_yes(reply: &str) -> bool {
    matches!(reply.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}

#[cfg(test)]
mod tests {
    use super::is_yes;

    #[test]
    fn only_a_yes_is_a_yes() {
        for reply in ["y\n", "Y", "yes\r\n", " YES "] {
            assert!(is_yes(reply), "{reply:?}");
        }
        for reply in ["", "\n", "n\n", "yo\n", "yes please\n"] {
            assert!(!is_yes(reply), "{reply:?}");
        }
    }
}
