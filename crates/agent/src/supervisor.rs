//! The process between the agent and a route. The crate's documentation says what it
//! guarantees. It is synchronous and small, because each route has one.
//!
//! Three threads send to the main thread: the first waits for the end of the pipe on
//! standard input, the second for a signal, the third for the end of the command.
//! Events go to the agent on standard output.

use std::{
    ffi::OsString,
    io::{self, PipeReader, Read, Write},
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Child, Command, ExitCode, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver, Sender},
    thread,
    time::{Duration, Instant},
};

use nix::{
    errno::Errno,
    sys::{
        prctl,
        signal::{SigSet, Signal, kill, killpg},
        wait::{Id, WaitPidFlag, waitid, waitpid},
    },
    unistd::Pid,
};

use crate::{procfs, protocol::SupervisorEvent, route_output::OutputCopier};

/// The arguments of a supervisor: `--grace-ms N [--quiet] -- COMMAND ARGS…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorConfig {
    /// The time between SIGTERM and SIGKILL.
    pub grace: Duration,
    /// Whether the command's output is discarded. Otherwise it goes to the
    /// supervisor's standard error, line by line and at a bounded rate.
    pub quiet: bool,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// Runs a command until it ends or standard input is closed. Returns when the command
/// and all processes that it left running have ended.
///
/// Standard output carries the protocol with the agent. Call it in a process without
/// other children and threads that then exits with the returned code: the process
/// becomes the reaper of its descendants, and kills them all.
pub fn supervise(args: SupervisorConfig) -> ExitCode {
    match start(&args) {
        Ok((child, output)) => {
            let pid = child.id().cast_signed();
            send_event(&SupervisorEvent::Started { pid });
            send_event(&wait_for_end_of(child, output, args.grace));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            send_event(&SupervisorEvent::Failed { reason });
            ExitCode::FAILURE
        }
    }
}

/// Starts the command. Gives what it writes, if that is wanted.
fn start(args: &SupervisorConfig) -> Result<(Child, Option<PipeReader>), String> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err("no command".into());
    };
    // A `killall` for agents must not hit supervisors too. A failure is harmless.
    let _ = prctl::set_name(c"viridian-route");
    prctl::set_child_subreaper(true).map_err(|error| format!("cannot become a reaper: {error}"))?;
    let (output, [stdout, stderr]) = output(args.quiet)
        .map_err(|error| format!("cannot make a pipe for its output: {error}"))?;
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(stderr)
        // A group of its own, so that one signal reaches the command and its children.
        .process_group(0)
        .spawn()
        .map(|child| (child, output))
        .map_err(|error| format!("cannot run {}: {error}", program.display()))
}

/// Where a command writes to, and where to read it. One pipe for both: its lines stay in
/// their order.
fn output(quiet: bool) -> io::Result<(Option<PipeReader>, [Stdio; 2])> {
    if quiet {
        return Ok((None, [Stdio::null(), Stdio::null()]));
    }
    let (reader, writer) = io::pipe()?;
    let stdout = writer.try_clone()?;
    Ok((Some(reader), [stdout.into(), writer.into()]))
}

enum SupervisorInput {
    Stop,
    Ended,
}

/// Waits for the end of the command, requested or not, and kills what it left running.
fn wait_for_end_of(
    mut child: Child,
    output: Option<PipeReader>,
    grace: Duration,
) -> SupervisorEvent {
    let pid = Pid::from_raw(child.id().cast_signed());
    let listeners = start_listeners(pid);
    // After the signals were blocked: a thread from before would be ended by one. Without
    // the copier the pipe closes, and the command learns that its output is not read.
    let copier = output.and_then(|pipe| OutputCopier::start(pipe, io::stderr()).ok());
    match listeners {
        Ok(inbox) => wait(&inbox, pid, grace),
        // Without the threads the agent could not stop the route.
        Err(_) => signal_group(pid, Signal::SIGKILL),
    }
    // Before the command is reaped: afterwards the number of its group may belong to
    // another process.
    signal_group(pid, Signal::SIGKILL);
    let status = child.wait();
    kill_orphans();
    // All that could write has ended.
    if let Some(copier) = copier {
        copier.finish();
    }
    match status {
        Ok(status) => event_of(status),
        Err(_) => SupervisorEvent::Exited { code: -1 },
    }
}

/// Returns when the command has ended.
fn wait(inbox: &Receiver<SupervisorInput>, pid: Pid, grace: Duration) {
    if let Ok(SupervisorInput::Ended) = inbox.recv() {
        return;
    }
    signal_group(pid, Signal::SIGTERM);
    let stopped_at = Instant::now();
    loop {
        match inbox.recv_timeout(grace.saturating_sub(stopped_at.elapsed())) {
            Ok(SupervisorInput::Stop) => {}
            Ok(SupervisorInput::Ended) => return,
            Err(_) => break,
        }
    }
    signal_group(pid, Signal::SIGKILL);
    // A second request to stop changes nothing: only the end counts now.
    while let Ok(SupervisorInput::Stop) = inbox.recv() {}
}

/// Starts the threads. Call it after the start of the command, which would otherwise
/// inherit the blocked signals, and which they would reap if it failed to start.
fn start_listeners(child: Pid) -> io::Result<Receiver<SupervisorInput>> {
    let (sender, inbox) = mpsc::channel();
    // A service manager sends SIGTERM to every process of a service at once. The
    // supervisor must stop its route then, not die.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    spawn_listener(&sender, SupervisorInput::Ended, move || wait_for_end(child))?;
    spawn_listener(&sender, SupervisorInput::Stop, wait_for_agent)?;
    spawn_listener(&sender, SupervisorInput::Stop, move || {
        let _ = signals.wait();
    })?;
    Ok(inbox)
}

fn spawn_listener(
    sender: &Sender<SupervisorInput>,
    message: SupervisorInput,
    wait: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let sender = sender.clone();
    thread::Builder::new().spawn(move || {
        wait();
        let _ = sender.send(message);
    })?;
    Ok(())
}

/// Returns when the agent has closed its end of the pipe, or has ended.
fn wait_for_agent() {
    let mut buffer = [0; 64];
    loop {
        match io::stdin().read(&mut buffer) {
            Ok(0) => return,
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// Returns when the command has ended, without reaping it. Reaps orphans that end
/// before it.
fn wait_for_end(child: Pid) {
    loop {
        let ended = match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(status) => status.pid().into_iter().collect(),
            // A child was ended by a signal that nix does not know.
            Err(Errno::EINVAL) => ended_children(),
            Err(Errno::EINTR) => continue,
            Err(_) => return,
        };
        if ended.contains(&child) {
            return;
        }
        for orphan in ended {
            let _ = waitpid(orphan, None);
        }
    }
}

fn ended_children() -> Vec<Pid> {
    procfs::children_of(Pid::this())
        .into_iter()
        .filter_map(|process| process.ended.then_some(process.pid))
        .collect()
}

/// Kills the processes that the command left running outside its group. This process
/// becomes the parent of each descendant whose parent ended. Killing and reaping
/// children until there is none therefore reaches all of them.
fn kill_orphans() {
    loop {
        for process in procfs::children_of(Pid::this()) {
            let _ = kill(process.pid, Signal::SIGKILL);
        }
        if let Err(Errno::ECHILD) = waitpid(None, None) {
            return;
        }
    }
}

fn signal_group(group: Pid, signal: Signal) {
    // It fails only when the group has ended.
    let _ = killpg(group, signal);
}

fn event_of(status: ExitStatus) -> SupervisorEvent {
    match (status.code(), status.signal()) {
        (Some(code), _) => SupervisorEvent::Exited { code },
        (None, signal) => SupervisorEvent::Signaled {
            signal: signal.unwrap_or_default(),
        },
    }
}

/// Writes one line. Fails only when the agent has ended, which changes nothing.
fn send_event(event: &SupervisorEvent) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    }
}
