//! The process between the agent and a route: see the crate's documentation
//! for what it promises. It is synchronous and small, because there is one for
//! each route.
//!
//! Three threads send to one that decides: the first waits for the end of the
//! pipe on standard input, the second for a signal that asks to stop, the third
//! for the end of the command. The agent's answer goes to standard output.

use std::{
    ffi::OsString,
    io::{self, Read, Write},
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

use crate::{procfs, protocol::Event};

/// What a supervisor is told: `--grace-ms N [--quiet] -- COMMAND ARGS…`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SupervisorArgs {
    /// How long the command may take to end after SIGTERM, before SIGKILL.
    pub grace: Duration,
    /// Whether the command's output is discarded. Otherwise it goes to the
    /// supervisor's standard error.
    pub quiet: bool,
    /// The program and its arguments.
    pub command: Vec<OsString>,
}

/// Runs a command until it ends or until standard input does, and returns when
/// neither it nor any process that it left behind is alive.
///
/// For the agent's use: standard output carries its control protocol. To be
/// called in a process that has no other child and no other thread, and that
/// exits with what this returns: it makes the process the reaper of its
/// descendants, and kills them all.
pub fn supervise(args: SupervisorArgs) -> ExitCode {
    match start(&args) {
        Ok(child) => {
            let pid = child.id().cast_signed();
            tell(&Event::Started { pid });
            tell(&end_of(child, args.grace));
            ExitCode::SUCCESS
        }
        Err(reason) => {
            tell(&Event::Failed { reason });
            ExitCode::FAILURE
        }
    }
}

fn start(args: &SupervisorArgs) -> Result<Child, String> {
    let Some((program, arguments)) = args.command.split_first() else {
        return Err("no command".into());
    };
    // So that it is not among the targets of a `killall` that is meant for
    // agents. Only cosmetic when it fails.
    let _ = prctl::set_name(c"viridian-route");
    prctl::set_child_subreaper(true).map_err(|error| format!("cannot become a reaper: {error}"))?;
    let output = || match args.quiet {
        true => Stdio::null(),
        false => Stdio::from(io::stderr()),
    };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(output())
        .stderr(output())
        .process_group(0)
        .spawn()
        .map_err(|error| format!("cannot run {}: {error}", program.display()))
}

enum Message {
    Stop,
    Ended,
}

/// Waits for the end of the command, asked for or not, and of all that is left
/// of it.
fn end_of(mut child: Child, grace: Duration) -> Event {
    let pid = Pid::from_raw(child.id().cast_signed());
    match listen(pid) {
        Ok(inbox) => wait(&inbox, pid, grace),
        // Nobody would hear the agent: better no route than one out of control.
        Err(_) => signal_group(pid, Signal::SIGKILL),
    }
    // The command is not reaped yet, so its group's number cannot be another's.
    signal_group(pid, Signal::SIGKILL);
    let status = child.wait();
    kill_orphans();
    match status {
        Ok(status) => event_of(status),
        Err(_) => Event::Exited { code: -1 },
    }
}

/// Returns when the command has ended.
fn wait(inbox: &Receiver<Message>, pid: Pid, grace: Duration) {
    if let Ok(Message::Ended) = inbox.recv() {
        return;
    }
    signal_group(pid, Signal::SIGTERM);
    let asked = Instant::now();
    loop {
        match inbox.recv_timeout(grace.saturating_sub(asked.elapsed())) {
            Ok(Message::Stop) => {}
            Ok(Message::Ended) => return,
            Err(_) => break,
        }
    }
    signal_group(pid, Signal::SIGKILL);
    while let Ok(Message::Stop) = inbox.recv() {}
}

/// Starts the threads. After the start of the command, which would otherwise
/// inherit the blocked signals, and whose failure would be theirs to reap.
fn listen(child: Pid) -> io::Result<Receiver<Message>> {
    let (sender, inbox) = mpsc::channel();
    // A service manager sends SIGTERM to every process of a service at once.
    // For a supervisor that means to stop its route, not to die.
    let signals: SigSet = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]
        .into_iter()
        .collect();
    signals.thread_block()?;
    listen_for(&sender, Message::Ended, move || wait_for_end(child))?;
    listen_for(&sender, Message::Stop, wait_for_agent)?;
    listen_for(&sender, Message::Stop, move || {
        let _ = signals.wait();
    })?;
    Ok(inbox)
}

fn listen_for(
    sender: &Sender<Message>,
    message: Message,
    wait: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let sender = sender.clone();
    thread::Builder::new().spawn(move || {
        wait();
        let _ = sender.send(message);
    })?;
    Ok(())
}

/// Returns when the agent closed its end of the pipe, or died.
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

/// Returns when the command has ended, without reaping it. Reaps the orphans
/// that end before it.
fn wait_for_end(child: Pid) {
    loop {
        let ended = match waitid(Id::All, WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Ok(status) => status.pid().into_iter().collect(),
            // One ended by a signal that nix has no name for.
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

/// Kills what the command left behind outside its group. As the reaper of its
/// descendants this process becomes the parent of each whose parent ended, so
/// that to kill and reap children until there is none reaches all of them.
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
    // It fails only when nothing is left of the group.
    let _ = killpg(group, signal);
}

fn event_of(status: ExitStatus) -> Event {
    match (status.code(), status.signal()) {
        (Some(code), _) => Event::Exited { code },
        (None, signal) => Event::Signaled {
            signal: signal.unwrap_or_default(),
        },
    }
}

/// Writes one line. An agent that died does not read it.
fn tell(event: &Event) {
    if let Ok(mut line) = serde_json::to_vec(event) {
        line.push(b'\n');
        let mut stdout = io::stdout().lock();
        let _ = stdout.write_all(&line).and_then(|()| stdout.flush());
    }
}
