//! What `/proc` says of processes. A process that ends while it is read is
//! left out.

use std::{collections::HashSet, fs, str};

use nix::unistd::Pid;

/// The children of a process, those that ended and wait to be reaped included.
pub(crate) fn children_of(parent: Pid) -> Vec<Process> {
    processes()
        .filter(|process| process.parent == parent)
        .collect()
}

/// The living processes of routes: those whose environment has one of these
/// entries (`NAME=value`), and those in this process group.
pub(crate) fn alive_with_mark(marks: &HashSet<String>, group: Option<Pid>) -> Vec<Process> {
    processes()
        .filter(|process| !process.ended)
        .filter(|process| Some(process.group) == group || has_mark(process.pid, marks))
        .collect()
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    /// It is a zombie.
    pub(crate) ended: bool,
    parent: Pid,
    group: Pid,
}

fn processes() -> impl Iterator<Item = Process> {
    fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(|pid| parse_stat(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?))
}

/// `PID (NAME) STATE PARENT GROUP …`, where the name may contain anything.
fn parse_stat(stat: &str) -> Option<Process> {
    let (pid, rest) = stat.split_once(" (")?;
    let (_, rest) = rest.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let ended = matches!(fields.next()?, "Z" | "X");
    let mut pid_field = || Some(Pid::from_raw(fields.next()?.parse().ok()?));
    Some(Process {
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
            Some(Process {
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
