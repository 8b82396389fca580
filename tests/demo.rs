//! `viridian demo`, as a newcomer runs it: to its end, and with Ctrl-C at any
//! moment.

use std::{fs, path::Path, process::ExitStatus, thread, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use rstest::rstest;
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, Lines},
    process::{Child, ChildStdout},
};

use crate::harness::{eventually, finish, viridian, within};

#[rstest]
#[case::promoted(&[], &["AWAITING_PROMOTION", "promote: 3 routes", "READY"])]
#[case::rolled_back_at_once(
    &["--rollback"],
    &["promote: 3 routes", "retained", "roll back: version 1 has the traffic again"],
)]
#[case::rolling(&["--strategy", "rolling"], &["DEPLOYING / PROVISIONING", "version 1 is gone"])]
#[case::canary(
    &["--strategy", "canary"],
    &[
        "SHIFTING, 10 % of the requests",
        "in step 2 version 2 answered",
        "promote: version 2 gets the rest of the traffic, 3 routes lose it",
    ],
)]
#[tokio::test]
async fn every_request_is_answered(#[case] flags: &[&str], #[case] texts: &[&str]) {
    let mut demo = Demo::start(flags);
    let answered = demo.played_to_its_end(texts).await;
    assert!(answered[0] > 100 && answered[1] > 100, "{answered:?}");
}

#[rstest]
#[case::blue_green(&["--fail"], "version 1 was never touched")]
#[case::rolling(&["--fail", "--strategy", "rolling"], "it never got a request")]
#[case::canary(&["--fail", "--strategy", "canary"], "version 1 was never touched")]
#[tokio::test]
async fn a_version_that_never_becomes_healthy_gets_no_request(
    #[case] flags: &[&str],
    #[case] end: &str,
) {
    let mut demo = Demo::start(flags);
    let texts = ["UNHEALTHY", "TERMINATED", end];
    let answered = demo.played_to_its_end(&texts).await;
    assert_eq!(answered[1], 0, "version 2 was asked");
}

#[tokio::test]
async fn a_rolling_update_keeps_nothing_to_roll_back_to() {
    let run = finish(viridian(&["demo", "--strategy", "rolling", "--rollback"])).await;
    assert_eq!(run.code, Some(2), "{run:?}");
    assert!(run.stderr.contains("--rollback"), "{run:?}");
}

#[rstest]
#[case::the_folder_is_there(Moment::Folder)]
#[case::the_server_is_there(Moment::Line("a server on"))]
#[case::it_is_created(Moment::Line("create "))]
#[case::the_first_route_starts(Moment::Processes(2))]
#[case::the_last_route_starts(Moment::Processes(7))]
#[case::a_route_runs(Moment::Line("RUNNING"))]
#[case::version_1_serves(Moment::Line("version 1 serves"))]
#[case::version_2_comes(Moment::Line("activate version 2"))]
#[case::version_2_starts(Moment::Processes(8))]
#[case::version_2_runs(Moment::Line("v2-1  RUNNING"))]
#[case::at_the_gate(Moment::Line("all of version 2 is ready"))]
#[case::promoted(Moment::Line("promote: "))]
#[case::version_1_drains(Moment::Line("version 1 ends after"))]
#[case::version_1_is_gone(Moment::Line("version 1 is gone"))]
#[tokio::test]
async fn ctrl_c_leaves_nothing_behind(#[case] moment: Moment) {
    let mut demo = Demo::start(&[]);
    demo.wait_for(moment).await;
    demo.signal(Signal::SIGINT);
    let (status, errors) = demo.ended().await;
    assert_eq!(status.code(), Some(130), "{status:?}: {errors}");
    assert!(!errors.contains("a bug in"), "{errors}");
    demo.left_nothing();
}

/// Before there is anything to tidy up, the signal may end the process itself.
#[tokio::test]
async fn ctrl_c_at_once_leaves_nothing_behind() {
    let mut demo = Demo::start(&[]);
    demo.signal(Signal::SIGINT);
    let (status, errors) = demo.ended().await;
    assert!(!status.success(), "{status:?}: {errors}");
    demo.left_nothing();
}

#[rstest]
#[case::the_terminal_is_closed(Signal::SIGHUP, 129)]
#[case::it_is_told_to_end(Signal::SIGTERM, 143)]
#[tokio::test]
async fn other_ways_to_end_it_leave_nothing_behind(#[case] signal: Signal, #[case] code: i32) {
    let mut demo = Demo::start(&[]);
    demo.wait_for(Moment::Line("v2-1  RUNNING")).await;
    demo.signal(signal);
    let (status, errors) = demo.ended().await;
    assert_eq!(status.code(), Some(code), "{status:?}: {errors}");
    demo.left_nothing();
}

/// Whoever does not wait leaves the rest to the supervisors of the routes, which
/// take a moment.
#[tokio::test]
async fn ctrl_c_twice_leaves_nothing_behind_either() {
    let mut demo = Demo::start(&[]);
    demo.wait_for(Moment::Line("v2-1  RUNNING")).await;
    demo.signal(Signal::SIGINT);
    demo.wait_for(Moment::Line("stopping")).await;
    demo.signal(Signal::SIGINT);
    let (status, errors) = demo.ended().await;
    assert_eq!(status.code(), Some(130), "{status:?}: {errors}");
    eventually("the end of all processes", async || {
        demo.processes().is_empty().then_some(())
    })
    .await;
    demo.left_nothing();
}

/// When to interrupt it.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// Its temporary folder is there.
    Folder,
    /// There are as many of them as this: itself, and two for each route.
    Processes(usize),
    /// It has written a line with this text.
    Line(&'static str),
}

/// The demonstration in a process group of its own, with a folder of its own for
/// temporary files, which also marks all processes that come of it.
struct Demo {
    process: Child,
    group: Pid,
    lines: Lines<BufReader<ChildStdout>>,
    /// What it has said so far.
    told: Vec<String>,
    folder: TempDir,
}

impl Demo {
    fn start(flags: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = viridian(&["demo"]);
        command.args(flags);
        command.env("TMPDIR", folder.path()).process_group(0);
        let mut process = command.spawn().expect("the program can be started");
        let pid = process.id().expect("it has not ended");
        let stdout = process.stdout.take().expect("stdout is a pipe");
        Self {
            process,
            group: Pid::from_raw(i32::try_from(pid).expect("a process id")),
            lines: BufReader::new(stdout).lines(),
            told: Vec::new(),
            folder,
        }
    }

    /// Waits for its end, which must be a good one within a minute, and gives how
    /// many requests versions 1 and 2 answered.
    async fn played_to_its_end(&mut self, texts: &[&str]) -> [u32; 2] {
        let whole = tokio::time::timeout(Duration::from_secs(60), self.finish());
        whole.await.expect("it takes less than a minute");
        let (status, errors) = self.ended().await;
        let told = self.told.join("\n");
        assert_eq!(status.code(), Some(0), "{errors}{told}");
        for text in texts {
            let told = self.told.iter().any(|line| line.contains(text));
            assert!(told, "{text} is not told");
        }
        self.left_nothing();
        let [.., by_version, last] = self.told.as_slice() else {
            panic!("it has told little");
        };
        let count = last
            .strip_suffix(" requests, 0 failed")
            .and_then(|count| count.parse::<u32>().ok());
        assert!(count.is_some_and(|count| count > 500), "{last}");
        let answered = by_version
            .split(|letter: char| !letter.is_ascii_digit())
            .filter_map(|number| number.parse().ok())
            .collect::<Vec<u32>>();
        // version 1 answered …, version 2 answered …
        assert_eq!(Some(answered[1] + answered[3]), count, "{by_version}");
        [answered[1], answered[3]]
    }

    async fn wait_for(&mut self, moment: Moment) {
        match moment {
            Moment::Folder => {
                eventually("the temporary folder", async || {
                    (!self.files().is_empty()).then_some(())
                })
                .await;
            }
            Moment::Processes(count) => {
                eventually(format_args!("{count} processes"), async || {
                    (self.processes().len() >= count).then_some(())
                })
                .await;
            }
            Moment::Line(text) => {
                let told = async {
                    while let Some(line) = self.next_line().await {
                        if line.contains(text) {
                            return;
                        }
                    }
                    panic!("it ended before it said {text:?}");
                };
                within(format_args!("{text:?}"), told).await;
            }
        }
    }

    async fn next_line(&mut self) -> Option<&str> {
        let line = self.lines.next_line().await.expect("its output")?;
        self.told.push(line);
        self.told.last().map(String::as_str)
    }

    /// Reads to the end of its output.
    async fn finish(&mut self) {
        while self.next_line().await.is_some() {}
    }

    fn signal(&self, signal: Signal) {
        killpg(self.group, signal).expect("the demonstration runs");
    }

    /// How it ended, and what it said on stderr.
    async fn ended(&mut self) -> (ExitStatus, String) {
        within("its output to end", self.finish()).await;
        let status = within("the end of the demonstration", self.process.wait()).await;
        let mut errors = String::new();
        let mut stderr = self.process.stderr.take().expect("stderr is a pipe");
        within("stderr to end", stderr.read_to_string(&mut errors))
            .await
            .expect("UTF-8");
        (status.expect("a child"), errors)
    }

    fn left_nothing(&self) {
        assert_eq!(self.processes(), [""; 0], "processes are left");
        assert_eq!(self.files(), [""; 0], "files are left");
    }

    fn files(&self) -> Vec<String> {
        let entries = fs::read_dir(self.folder.path()).expect("the folder");
        let name = |entry: std::io::Result<fs::DirEntry>| {
            entry.expect("an entry").path().display().to_string()
        };
        entries.map(name).collect()
    }

    /// The processes that have this demonstration's folder in their environment.
    fn processes(&self) -> Vec<String> {
        let mark = format!("TMPDIR={}", self.folder.path().display());
        let processes = fs::read_dir("/proc").expect("/proc");
        processes
            .filter_map(|entry| marked(&entry.ok()?.path(), &mark))
            .collect()
    }
}

/// The command line of a process, if it has the mark.
fn marked(process: &Path, mark: &str) -> Option<String> {
    let environ = fs::read(process.join("environ")).ok()?;
    let mut entries = environ.split(|byte| *byte == 0);
    if !entries.any(|entry| entry == mark.as_bytes()) {
        return None;
    }
    let line = fs::read(process.join("cmdline")).unwrap_or_default();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    Some(format!("{} {line}", process.display()))
}

impl Drop for Demo {
    fn drop(&mut self) {
        // Its supervisors end when it is gone.
        let _ = self.process.start_kill();
        if thread::panicking() {
            report(&self.told);
        }
    }
}

#[expect(clippy::print_stderr, reason = "shown with the failure of the test")]
fn report(told: &[String]) {
    eprintln!("what the demonstration said:\n{}", told.join("\n"));
}
