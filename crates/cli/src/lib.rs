//! The `viridian` program: the server, the agent, the operator's commands, and tools
//! around them. A library, so that fuzz targets can call what it reads.

use std::process::ExitCode;

use clap::{CommandFactory as _, Parser as _};

mod agent;
mod args;
mod byte_size;
mod call_error;
mod check;
mod completions;
mod copy;
mod demo;
mod deployment;
mod descriptor_set;
mod doctor;
mod duration;
mod elide;
mod enum_names;
mod error;
mod exit_code;
#[cfg(any(test, fuzzing))]
#[doc(hidden)]
pub mod fuzz;
mod key_value;
mod logging;
mod man;
mod names;
mod output;
mod permille;
mod rpc_error;
mod runtime;
mod screen;
mod serve;
mod server_args;
mod signals;
mod table;
mod token;
mod top;
mod version;

use crate::{
    args::{CliCommand, CommandLine},
    error::CommandError,
};

/// Runs the command that the arguments of the process name.
pub fn main() -> ExitCode {
    logging::report_panics_in_one_line();
    completions::answer(CommandLine::command);
    let code = run(CommandLine::parse().command).unwrap_or_else(|error| error.report());
    logging::flush();
    code
}

fn run(command: CliCommand) -> Result<ExitCode, CommandError> {
    Ok(match command {
        CliCommand::Serve(args) => serve::run(*args)?,
        CliCommand::Check(args) => check::run(&args)?,
        CliCommand::Copy(args) => copy::run(&args)?,
        CliCommand::Doctor(args) => doctor::run(*args)?,
        CliCommand::Agent(args) => agent::run(args)?,
        CliCommand::Demo(args) => demo::run(args)?,
        CliCommand::DescriptorSet => descriptor_set::run()?,
        CliCommand::Deployment(args) => deployment::run(*args)?,
        CliCommand::Top(args) => top::run(args)?,
        CliCommand::Token(args) => token::run(&args)?,
        CliCommand::Completions(args) => completions::run(&args)?,
        CliCommand::Version(args) => version::run(args)?,
        CliCommand::Man(args) => man::run(&args, CommandLine::command())?,
        CliCommand::RouteSupervisor(args) => agent::supervise(args),
        CliCommand::DemoReplica(args) => demo::replica::run(&args)?,
    })
}
