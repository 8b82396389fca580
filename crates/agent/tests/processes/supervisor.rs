//! The supervisor, with real processes.

use std::{
    io::{BufRead, BufReader, Lines},
    process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::{Value, json};

use crate::support::{HELPER, WAIT_TIMEOUT, marked, wait_for_marked, wait_for_none};

#[test]
fn an_exit_status_is_reported() {
    let mut route = SupervisorProcess::start(WAIT_TIMEOUT, &["sh", "-c", "exit 3"]);
    assert_eq!(route.next_event()["event"], "started");
    assert_eq!(route.next_event(), json!({"event": "exited", "code": 3}));
    assert!(route.child.wait().expect("the supervisor").success());
}

#[test]
fn a_signal_is_reported() {
    for signal in [9, 40] {
        let script = format!("kill -{signal} $$");
        let mut route = SupervisorProcess::start(WAIT_TIMEOUT, &["sh", "-c", &script]);
        assert_eq!(route.next_event()["event"], "started");
        let expected = json!({"event": "signaled", "signal": signal});
        assert_eq!(route.next_event(), expected);
    }
}

#[test]
fn a_missing_command_is_a_failure_with_its_name() {
    let mut route = SupervisorProcess::start(WAIT_TIMEOUT, &["no-such-program"]);
    let reason = "cannot run no-such-program: No such file or directory (os error 2)";
    assert_eq!(
        route.next_event(),
        json!({"event": "failed", "reason": reason})
    );
    assert!(!route.child.wait().expect("the supervisor").success());
}

#[test]
fn a_file_that_is_no_program_is_a_failure() {
    let mut route =
        SupervisorProcess::start(WAIT_TIMEOUT, &[concat!(env!("CARGO_MANIFEST_DIR"), "/src")]);
    let event = route.next_event();
    assert_eq!(event["event"], "failed");
    let reason = event["reason"].as_str().expect("a reason");
    assert!(reason.contains("Permission denied"), "{reason}");
}

#[test]
fn a_command_that_handles_sigterm_is_not_killed() {
    let script = r#"trap "exit 0" TERM; echo ready; while :; do sleep 0.01; done"#;
    let mut route = SupervisorProcess::start(WAIT_TIMEOUT, &["sh", "-c", script]);
    route.wait_until_ready();
    route.close();
    assert_eq!(route.next_event()["event"], "started");
    // After the grace it would have been killed by a signal.
    assert_eq!(route.next_event(), json!({"event": "exited", "code": 0}));
    wait_for_none(&route.mark);
}

#[test]
fn a_stop_kills_a_command_that_ignores_sigterm_with_all_its_descendants() {
    let script = r#"trap "" TERM; sleep 1000 & setsid sleep 1000 & (sleep 1000 &); wait"#;
    let mut route = SupervisorProcess::start(Duration::from_millis(200), &["sh", "-c", script]);
    wait_for_marked(&route.mark, "sleep", 3);
    route.close();
    assert_eq!(route.next_event()["event"], "started");
    let killed = json!({"event": "signaled", "signal": 9});
    assert_eq!(route.next_event(), killed);
    let left = marked(&route.mark);
    assert!(
        left.iter().all(|(pid, _)| *pid == route.pid()),
        "the end is reported after the last process has ended: {left:?}"
    );
    wait_for_none(&route.mark);
}

#[test]
fn processes_that_a_command_leaves_behind_end_with_it() {
    let script = "sleep 1000 & setsid sleep 1000 & exit 3";
    let mut route = SupervisorProcess::start(WAIT_TIMEOUT, &["sh", "-c", script]);
    assert_eq!(route.next_event()["event"], "started");
    assert_eq!(route.next_event(), json!({"event": "exited", "code": 3}));
    wait_for_none(&route.mark);
}

#[test]
fn orphans_that_end_are_reaped_while_the_command_runs() {
    let script = r#"for i in 1 2 3; do (sh -c 'kill -40 $$' &); (true &); done; exec sleep 1000"#;
    let mut route = SupervisorProcess::start(Duration::ZERO, &["sh", "-c", script]);
    assert_eq!(route.next_event()["event"], "started");
    wait_for_marked(&route.mark, "sleep", 1);
    let begun = Instant::now();
    while route.children() > 1 {
        assert!(begun.elapsed() < WAIT_TIMEOUT, "orphans are not reaped");
        std::thread::sleep(Duration::from_millis(5));
    }
    route.close();
    assert_eq!(route.next_event()["event"], "signaled");
}

#[test]
fn sigterm_to_the_supervisor_stops_the_route() {
    let mut route = SupervisorProcess::start(WAIT_TIMEOUT, &["sleep", "1000"]);
    assert_eq!(route.next_event()["event"], "started");
    route.wait_until_it_listens();
    kill(route.pid(), Signal::SIGTERM).expect("the supervisor runs");
    let ended = json!({"event": "signaled", "signal": 15});
    assert_eq!(route.next_event(), ended);
    wait_for_none(&route.mark);
}

/// A supervisor whose agent is this test.
struct SupervisorProcess {
    child: Child,
    lifeline: Option<ChildStdin>,
    events: Lines<BufReader<ChildStdout>>,
    output: Lines<BufReader<ChildStderr>>,
    mark: String,
}

impl SupervisorProcess {
    fn start(grace: Duration, command: &[&str]) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let value = format!("{}-{number}", std::process::id());
        let mut child = Command::new(HELPER)
            .args(["supervisor", "--grace-ms"])
            .arg(grace.as_millis().to_string())
            .arg("--")
            .args(command)
            .env("VIRIDIAN_TEST_MARK", &value)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the helper program");
        Self {
            lifeline: child.stdin.take(),
            events: BufReader::new(child.stdout.take().expect("a pipe")).lines(),
            output: BufReader::new(child.stderr.take().expect("a pipe")).lines(),
            mark: format!("VIRIDIAN_TEST_MARK={value}"),
            child,
        }
    }

    fn next_event(&mut self) -> Value {
        let line = self.events.next().expect("one more event").expect("a line");
        serde_json::from_str(&line).expect("an event")
    }

    /// Waits for the `ready` that the command prints.
    fn wait_until_ready(&mut self) {
        assert_eq!(
            self.output.next().expect("output").expect("a line"),
            "ready"
        );
    }

    /// Waits until it has the threads that wait for the agent and for signals.
    fn wait_until_it_listens(&self) {
        let begun = Instant::now();
        let tasks = format!("/proc/{}/task", self.pid());
        while std::fs::read_dir(&tasks).expect("its threads").count() < 4 {
            assert!(begun.elapsed() < WAIT_TIMEOUT, "it does not listen");
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    fn close(&mut self) {
        self.lifeline = None;
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(self.child.id().cast_signed())
    }

    /// How many children it has, zombies included.
    fn children(&self) -> usize {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid())).expect("its threads");
        tasks
            .filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("children")).ok())
            .map(|children| children.split_whitespace().count())
            .sum()
    }
}

impl Drop for SupervisorProcess {
    fn drop(&mut self) {
        self.close();
        let _ = self.child.wait();
    }
}
