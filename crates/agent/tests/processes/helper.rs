//! The programs that the tests of this crate run as processes, by the first argument:
//! `supervisor` with the arguments that an agent appends; `agent SERVER [STATE]` in the
//! place of the `viridian` binary; and `serve`, the program of a route, which answers
//! HTTP on `PORT`.

use std::{
    env,
    io::{self, BufRead, BufReader, Write},
    net::TcpListener,
    process::ExitCode,
    time::Duration,
};

use tokio_util::sync::CancellationToken;
use viridian_agent::{AgentConfig, SupervisorConfig, run, supervise};
use viridian_client::ServerTarget;

fn main() -> ExitCode {
    let mut args = env::args().skip(1);
    match args.next().as_deref() {
        Some("supervisor") => supervise(supervisor_args(args)),
        Some("agent") => agent(args.next().expect("the server's address"), args.next()),
        Some("serve") => serve().expect("it serves until it is told to exit"),
        other => panic!("no such program: {other:?}"),
    }
}

fn supervisor_args(mut args: impl Iterator<Item = String>) -> SupervisorConfig {
    let mut parsed = SupervisorConfig {
        grace: Duration::ZERO,
        quiet: false,
        command: Vec::new(),
    };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--grace-ms" => {
                let millis = args.next().expect("a number");
                parsed.grace = Duration::from_millis(millis.parse().expect("a number"));
            }
            "--quiet" => parsed.quiet = true,
            "--" => parsed.command = args.by_ref().map(Into::into).collect(),
            other => panic!("no such flag: {other}"),
        }
    }
    parsed
}

fn agent(server: String, state: Option<String>) -> ExitCode {
    let config = AgentConfig {
        server: ServerTarget::new(&server).expect("a URL"),
        resource_group: "default".into(),
        supervisor: vec![
            env::current_exe().expect("this program").into(),
            "supervisor".into(),
        ],
        stop_grace: Duration::from_millis(200),
        health_repeat: Duration::from_secs(10),
        state: state.map(Into::into),
        quiet_routes: true,
    };
    tokio::runtime::Runtime::new()
        .expect("a runtime")
        .block_on(run(config, CancellationToken::new()))
        .expect("an agent that runs");
    ExitCode::SUCCESS
}

/// Answers `/` with the current status, at first 200. `/become/STATUS` changes the
/// status, and `/exit/CODE` ends the program.
fn serve() -> io::Result<ExitCode> {
    let port = env::var("PORT").expect("PORT").parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port))?;
    let mut status = "200".to_owned();
    for connection in listener.incoming() {
        let mut connection = connection?;
        let mut lines = BufReader::new(connection.try_clone()?).lines();
        let Some(Ok(request)) = lines.next() else {
            continue;
        };
        while lines
            .next()
            .is_some_and(|line| line.is_ok_and(|line| !line.is_empty()))
        {}
        let path = request.split(' ').nth(1).unwrap_or_default();
        let mut answer = status.clone();
        match path.trim_matches('/').split_once('/') {
            Some(("become", new)) => {
                status = new.to_owned();
                answer = "200".to_owned();
            }
            Some(("exit", code)) => return Ok(ExitCode::from(code.parse::<u8>().expect("a code"))),
            _ => {}
        }
        let _ = write!(
            connection,
            "HTTP/1.1 {answer} X\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
        );
    }
    Ok(ExitCode::SUCCESS)
}
