use std::{
    env,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::Stdio,
};

use tokio::process::Command;

use super::within;

/// A run of a program that is over.
#[derive(Debug)]
pub(crate) struct FinishedProgram {
    /// None when a signal ended it.
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// The program under test. It has nothing of this process's environment but
/// PATH and TMPDIR, and is killed when it is dropped. Backtraces are asked for,
/// so that none is hidden.
pub(crate) fn viridian(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_viridian"));
    command
        .args(arguments)
        .env_clear()
        .env("RUST_BACKTRACE", "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    for name in ["PATH", "TMPDIR"] {
        command.envs(env::var_os(name).map(|value| (name, value)));
    }
    command
}

/// Runs a program to its end.
pub(crate) async fn finish(mut command: Command) -> FinishedProgram {
    let what = format!("the end of {:?}", command.as_std());
    let output = within(what, command.output()).await;
    let output = output.expect("the program can be started");
    FinishedProgram {
        code: output.status.code(),
        stdout: String::from_utf8(output.stdout).expect("stdout is UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("stderr is UTF-8"),
    }
}

/// An address on loopback at which nobody listens.
pub(crate) fn closed_port() -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    listener.local_addr().expect("its address")
}
