use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::{eventually, tool};

/// A real terminal with a program in it, by tmux. Both end when it is dropped.
pub(crate) struct Terminal {
    folder: TempDir,
}

impl Terminal {
    /// Runs the program under test in a terminal of its own.
    pub(crate) fn start(server: &str, arguments: &[&str]) -> Self {
        Self::with(&["-u", "NO_COLOR"], server, arguments)
    }

    /// The same in one that wants no colours.
    pub(crate) fn plain(server: &str, arguments: &[&str]) -> Self {
        Self::with(&["NO_COLOR=1"], server, arguments)
    }

    /// The same in a terminal of this many columns.
    pub(crate) fn narrow(columns: u16, server: &str, arguments: &[&str]) -> Self {
        Self::sized(columns, &["NO_COLOR=1"], server, arguments)
    }

    fn with(environment: &[&str], server: &str, arguments: &[&str]) -> Self {
        Self::sized(120, environment, server, arguments)
    }

    fn sized(columns: u16, environment: &[&str], server: &str, arguments: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let config = folder.path().join("tmux.conf");
        // What the program said stays on the screen when it is over.
        let settings = "set -g remain-on-exit on\nset -g remain-on-exit-format ''\n\
                        set -g status off\nset -g escape-time 0\n";
        std::fs::write(&config, settings).expect("a file");
        let terminal = Self { folder };
        let mut command = terminal.tmux();
        command.arg("-f").arg(config);
        let columns = columns.to_string();
        command.args(["new-session", "-d", "-x", &columns, "-y", "40", "--"]);
        // The shell keeps the exit code, which it tells as a whole.
        let keep = format!(
            "trap : INT; env \"$@\"; echo $? >{code}.new; mv {code}.new {code}",
            code = terminal.code_file().display()
        );
        command.args(["sh", "-c", &keep, "sh"]).args(environment);
        command.arg(format!("VIRIDIAN_SERVER={server}"));
        command.arg(env!("CARGO_BIN_EXE_viridian"));
        command.args(arguments);
        checked(command.output().expect("tmux can be started"));
        terminal
    }

    /// What is on the screen.
    pub(crate) fn screen(&self) -> String {
        self.ask(&["capture-pane", "-p"])
    }

    /// The same with its colours, as escape sequences.
    pub(crate) fn coloured_screen(&self) -> String {
        self.ask(&["capture-pane", "-p", "-e"])
    }

    /// Types keys, by tmux's names of them: `p`, `Enter`, `C-c`.
    pub(crate) fn press(&self, keys: &[&str]) {
        self.ask(&[&["send-keys"], keys].concat());
    }

    /// Waits until the screen has a text, and gives the screen.
    pub(crate) async fn shows(&self, text: &str) -> String {
        let what = format!("{text:?} on the screen");
        let seen = eventually(what, async || {
            Some(self.screen()).filter(|screen| screen.contains(text))
        });
        match tokio::time::timeout(super::WAIT_TIMEOUT / 2, seen).await {
            Ok(screen) => screen,
            Err(_) => panic!(
                "waited in vain for {text:?}; the screen:\n{}",
                self.screen()
            ),
        }
    }

    /// Waits for the end of the program, and gives its exit code and the screen.
    pub(crate) async fn ended(&self) -> (i32, String) {
        let end = eventually("the end of the program", async || {
            // Dead is where all that was written is on the screen.
            let dead = self.ask(&["display", "-p", "#{pane_dead}"]).trim() == "1";
            std::fs::read_to_string(self.code_file())
                .ok()
                .filter(|_| dead)
        });
        match tokio::time::timeout(super::WAIT_TIMEOUT / 2, end).await {
            Ok(code) => (code.trim().parse().expect("a number"), self.screen()),
            Err(_) => panic!("waited in vain for the end; the screen:\n{}", self.screen()),
        }
    }

    fn code_file(&self) -> PathBuf {
        self.folder.path().join("code")
    }

    fn ask(&self, arguments: &[&str]) -> String {
        let output = self.tmux().args(arguments).output();
        checked(output.expect("tmux can be started"))
    }

    /// A server of its own, by a socket of its own.
    fn tmux(&self) -> Command {
        let mut command = Command::new(tool("tmux"));
        command
            .arg("-S")
            .arg(self.folder.path().join("socket"))
            .env_remove("TMUX")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::null());
        command
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Its end ends the program too. It may have ended already.
        let _ = self.tmux().arg("kill-server").output();
    }
}

fn checked(output: Output) -> String {
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).expect("UTF-8")
}
