//! Processes by `/proc`. A process that ends while it is read is left out.

use std::{collections::HashSet, fs, str};

use nix::unistd::Pid;

/// Returns the children of a process, including zombies.
pub(crate) fn children_of(parent: Pid) -> Vec<ProcessEntry> {
    processes()
        .filter(|process| process.parent == parent)
        .collect()
}

/// Returns the running processes of routes: those with one of these entries
/// (`NAME=value`) in their environment, and those in this process group.
pub(crate) fn alive_with_mark(marks: &HashSet<String>, group: Option<Pid>) -> Vec<ProcessEntry> {
    processes()
        .filter(|process| !process.ended)
        .filter(|process| Some(process.group) == group || has_mark(process.pid, marks))
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ProcessEntry {
    pub(crate) pid: Pid,
    /// Whether it is a zombie.
    pub(crate) ended: bool,
    parent: Pid,
    group: Pid,
}

fn processes() -> impl Iterator<Item = ProcessEntry> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
}

/// `PID (NAME) STATE PARENT GROUP …`, where the name may contain anything.
fn parse_stat(stat: &str) -> Option<ProcessEntry> {
    let (pid, rest) = stat.split_once(" (")?;
    // The last bracket: a process may call itself `a) Z 1 (b`.
    let (_, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let ended = matches!(fields.next()?, "Z" | "X");
    let mut pid_field = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    Some(ProcessEntry {
        pid: Pid::from_raw(pid.parse().ok()?),
        ended,
        parent: pid_field()?,
        group: pid_field()?,
    })
}

fn has_mark(pid: Pid, marks: &HashSet<String>) -> bool {
    fs::read(format!("/proc/{pid}/environ")).is_ok_and(|environ| {
        environ
            .split(|&byte| byte == 0)
            .any(|entry| str::from_utf8(entry).is_ok_and(|entry| marks.contains(entry)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_may_look_like_the_fields_after_it() {
        assert_eq!(
            parse_stat("12 (a) Z 9 (b) S 3 4 5 0 -1 rest"),
            Some(ProcessEntry {
                pid: Pid::from_raw(12),
                ended: false,
                parent: Pid::from_raw(3),
                group: Pid::from_raw(4),
            })
        );
        assert_eq!(parse_stat("12 (a"), None);
    }

    #[test]
    fn this_process_is_a_child_of_its_parent() {
        let children = children_of(nix::unistd::getppid());
        assert!(children.iter().any(|child| child.pid == Pid::this()));
    }
}
