//! Processes by a mark in their environment, and how long tests wait.

use std::{
    fs,
    time::{Duration, Instant},
};

use nix::unistd::Pid;

/// The program of `helper.rs`.
pub(crate) const HELPER: &str = env!("CARGO_BIN_EXE_viridian-agent-test-helper");

/// How long a test waits before it fails. Longer than anything takes on a busy machine.
pub(crate) const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Returns the running processes with this entry (`NAME=value`) in their environment,
/// each with its name.
pub(crate) fn marked(mark: &str) -> Vec<(Pid, String)> {
    let entries = fs::read_dir("/proc").expect("/proc");
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| {
            fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
                environ
                    .split(|&byte| byte == 0)
                    .any(|e| e == mark.as_bytes())
            })
        })
        .filter_map(|pid| {
            let name = fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
            Some((Pid::from_raw(pid), name.trim_end().to_owned()))
        })
        .collect()
}

/// Waits until this many processes with this name have the mark.
pub(crate) fn wait_for_marked(mark: &str, name: &str, count: usize) -> Vec<Pid> {
    let begun = Instant::now();
    loop {
        let all = marked(mark);
        let found: Vec<_> = all.iter().filter(|p| p.1 == name).map(|p| p.0).collect();
        if found.len() == count {
            return found;
        }
        assert!(
            begun.elapsed() < WAIT_TIMEOUT,
            "waiting for {count} of {name}, there are {all:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Waits until no process has the mark.
pub(crate) fn wait_for_none(mark: &str) {
    let begun = Instant::now();
    loop {
        let all = marked(mark);
        if all.is_empty() {
            return;
        }
        assert!(begun.elapsed() < WAIT_TIMEOUT, "still there: {all:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
