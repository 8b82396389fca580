//! The `viridian` program: the server, a check of its record, an agent, a demonstration, tokens,
//! and the verbs of an operator.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;

mod agent;
mod args;
mod check;
mod client;
mod completions;
mod coordinator;
mod copy;
mod demo;
mod deployment;
mod descriptor_set;
mod doctor;
mod duration;
mod error;
mod limits;
mod logging;
mod man;
mod names;
mod output;
mod pair;
mod retention;
mod rpc_error;
mod rpc_limits;
mod screen;
mod security;
mod serve;
mod server;
mod signals;
mod size;
mod table;
mod token;
mod top;
mod watch_limits;

use crate::{
    args::{Cli, Command},
    error::Error,
};

/// A sixth of a promotion's time was spent in the system's.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    logging::report_panics_in_one_line();
    run(Cli::parse().command).unwrap_or_else(|error| error.report())
}

fn run(command: Command) -> Result<ExitCode, Error> {
    Ok(match command {
        Command::Serve(args) => serve::run(args)?,
        Command::Check(args) => check::run(&args)?,
        Command::Copy(args) => copy::run(&args)?,
        Command::Doctor(args) => doctor::run(*args)?,
        Command::Agent(args) => agent::run(args)?,
        Command::Demo(args) => demo::run(args)?,
        Command::DescriptorSet => descriptor_set::run()?,
        Command::Deployment(args) => deployment::run(args)?,
        Command::Top(args) => top::run(args)?,
        Command::Token(args) => token::run(&args)?,
        Command::Completions(args) => completions::run(&args)?,
        Command::Man(args) => man::run(&args)?,
        Command::RouteSupervisor(args) => agent::supervise(args),
        Command::DemoReplica(args) => demo::replica::run(&args)?,
    })
}
