//! Someone who does what a document says: block by block, in one folder, with a
//! shell of which exports and functions stay, and a terminal for whatever stays.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command as Process, Stdio},
    time::Duration,
};

use nix::{
    sys::signal::{Signal, kill, killpg},
    unistd::Pid,
};
use tokio::{process::Command, time::timeout};

use super::{
    document_env::DocumentEnv,
    fence::{Fence, Kind},
    output,
};
use crate::harness::{FinishedProgram, WAIT_TIMEOUT, eventually};

pub(crate) struct Reader {
    // In the order in which they end: whatever talks to a server before it.
    staying: Vec<Staying>,
    env: DocumentEnv,
}

/// A command that goes on, in a process group of its own. Killed when it is
/// dropped.
struct Staying {
    what: What,
    process: Child,
    log: PathBuf,
}

/// Two of the same are not run at a time: the later one replaces the earlier.
#[derive(Debug, PartialEq, Eq)]
enum What {
    Server { listen: String },
    Agent,
    Other,
}

impl Reader {
    pub(crate) fn new(env: DocumentEnv) -> Self {
        let staying = Vec::new();
        Self { staying, env }
    }

    /// Does what the blocks say, and gives how many were run.
    pub(crate) async fn follow(&mut self, fences: &[Fence]) -> usize {
        let mut printed = String::new();
        let mut run = 0;
        for fence in fences {
            let text = self.env.told(&fence.text);
            match fence.kind {
                Kind::Run { code } => {
                    let finished = self.run(&fence.place, &text).await;
                    assert_eq!(
                        finished.code,
                        Some(code),
                        "{}:\n{text}\n{finished:#?}\n{}",
                        fence.place,
                        self.logs()
                    );
                    printed = finished.stdout + &finished.stderr;
                    run += 1;
                }
                Kind::Stay => {
                    self.stay(&fence.place, &text).await;
                    run += 1;
                }
                Kind::Output => {
                    let missing = output::first_missing(&text, &printed);
                    assert_eq!(missing, None, "{}: printed was\n{printed}", fence.place);
                }
                Kind::NotRun | Kind::Shown { .. } => {}
            }
        }
        run
    }

    async fn run(&self, place: &str, text: &str) -> FinishedProgram {
        let state = self.env.file(".state");
        let script = format!(
            "source {state} 2>/dev/null\nset -euo pipefail\n{text}\n\
             {{ export -p; declare -f; printf 'cd %q\\n' \"$PWD\"; }} >{state}\n",
            state = state.display()
        );
        let mut command = Command::from(self.shell(&script));
        command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let child = command.spawn().expect("bash can be started");
        let group = child.id();
        let Ok(output) = timeout(LONGEST, child.wait_with_output()).await else {
            if let Some(group) = group {
                // Gone already is as good.
                let _ = killpg(pid(group), Signal::SIGKILL);
            }
            panic!("{place} does not end:\n{text}\n{}", self.logs())
        };
        let output = output.expect("it ends");
        FinishedProgram {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }

    /// Starts what goes on, and waits until it does what it is for.
    async fn stay(&mut self, place: &str, text: &str) {
        let what = What::of(text, &self.env);
        while let Some(index) = self.staying.iter().position(|it| it.what.gives_way(&what)) {
            self.staying.remove(index).end().await;
        }
        let log = self.env.file(&format!(".log-{}", place.replace('/', "-")));
        // Its process is then the program's own.
        let command = text.rfind("\nviridian ").map_or(0, |before| before + 1);
        assert!(text[command..].starts_with("viridian "), "{place}: {text}");
        let script = format!(
            "source {} 2>/dev/null\nset -euo pipefail\n{}exec {}",
            self.env.file(".state").display(),
            &text[..command],
            &text[command..]
        );
        let file = fs::File::create(&log).expect("a file");
        let process = self
            .shell(&script)
            .stdout(file.try_clone().expect("a second handle"))
            .stderr(file)
            .spawn()
            .expect("bash can be started");
        let mut started = Staying { what, process, log };
        eventually(format_args!("{place} to be ready"), async || {
            let said = started.said();
            let ended = started.process.try_wait().expect("it is a child");
            assert!(ended.is_none(), "{place} ended:\n{text}\n{said}");
            said.contains(started.what.ready()).then_some(())
        })
        .await;
        self.staying.insert(0, started);
    }

    fn shell(&self, script: &str) -> Process {
        use std::os::unix::process::CommandExt as _;

        let mut command = Process::new("bash");
        command
            .args(["-c", script])
            .env_clear()
            .envs(self.env.environment())
            .current_dir(self.env.folder())
            .stdin(Stdio::null())
            .process_group(0);
        command
    }

    fn logs(&self) -> String {
        self.staying.iter().map(Staying::said).collect()
    }
}

impl Staying {
    fn said(&self) -> String {
        read(&self.log)
    }

    /// Ends it as Ctrl-C in its terminal would.
    async fn end(mut self) {
        kill(pid(self.process.id()), Signal::SIGINT).expect("it is there");
        eventually("its end", async || {
            self.process.try_wait().expect("it is a child")
        })
        .await;
    }
}

impl Drop for Staying {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = killpg(pid(self.process.id()), Signal::SIGKILL);
        let _ = self.process.wait();
    }
}

impl What {
    fn of(text: &str, env: &DocumentEnv) -> Self {
        let last = text.rfind("viridian serve").map(|at| &text[at..]);
        match last {
            Some(command) => Self::Server {
                listen: command
                    .split_once("--listen ")
                    .and_then(|(_, rest)| rest.split_whitespace().next())
                    .unwrap_or(&env.environment()["VIRIDIAN_LISTEN"])
                    .to_owned(),
            },
            None if text.contains("viridian agent") => Self::Agent,
            None => Self::Other,
        }
    }

    /// Whether it ends when another begins.
    fn gives_way(&self, other: &Self) -> bool {
        self == other && *self != Self::Other
    }

    /// What it says when it is ready.
    fn ready(&self) -> &'static str {
        match self {
            Self::Server { .. } => "serving address",
            Self::Agent => "following assignments",
            Self::Other => "\n",
        }
    }
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_default()
}

fn pid(id: u32) -> Pid {
    Pid::from_raw(i32::try_from(id).expect("a process id"))
}

/// A block may wait for several things in turn.
const LONGEST: Duration = WAIT_TIMEOUT.saturating_mul(4);
