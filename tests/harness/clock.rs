use std::{fs, process::Command};

use super::tool;

/// Sets a program's clock wrong, by an offset like `+1h` or to a time like
/// `@2026-11-30 01:02:03`: the one that gives the time of day, for its timers need
/// not be disturbed by it.
pub(crate) fn set_clock_off(command: &mut tokio::process::Command, by: &str) {
    command
        .env("LD_PRELOAD", library())
        .env("FAKETIME", by)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1");
}

/// What does it, as `faketime` itself says. It is not the way to start the
/// program, because it would stand between it and who kills it.
fn library() -> String {
    let output = Command::new(tool("faketime"))
        .args(["-m", "-f", "+1h", "env"])
        .output()
        .expect("faketime can be started");
    let environment = String::from_utf8_lossy(&output.stdout);
    let library = environment
        .lines()
        .find_map(|line| line.strip_prefix("LD_PRELOAD="));
    library
        .unwrap_or_else(|| panic!("it says nothing: {output:?}"))
        .to_owned()
}

/// Removes what is left of a program with a wrong clock that was killed: it would
/// be in the way of the next one with the same process id.
pub(super) fn clean_up_behind(pid: u32) {
    for file in [
        format!("/dev/shm/faketime_shm_{pid}"),
        format!("/dev/shm/sem.faketime_sem_{pid}"),
    ] {
        // Most have none.
        let _ = fs::remove_file(file);
    }
}
