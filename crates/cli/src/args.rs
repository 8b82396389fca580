//! The command line: the list of commands. The flags of a command are in its module.

use clap::{Parser, Subcommand};

use crate::{
    agent::{AgentArgs, RouteSupervisorArgs},
    check::CheckArgs,
    completions::CompletionsArgs,
    copy::CopyArgs,
    demo::{DemoArgs, replica::ReplicaArgs},
    deployment::DeploymentArgs,
    doctor::DoctorArgs,
    exit_code,
    man::ManArgs,
    serve::ServeArgs,
    token::TokenArgs,
    top::TopArgs,
    version::VersionArgs,
};

/// Deployment control plane: replaces a running version with a new one, blue-green or
/// rolling, without a failed request.
///
/// Start a server with `viridian serve` and an agent with `viridian agent`, then work
/// with `viridian deployment`. `viridian demo` shows a whole deployment in one minute.
#[derive(Debug, Parser)]
#[command(version, after_long_help = exit_code::TABLE)]
pub(crate) struct CommandLine {
    #[command(subcommand)]
    pub(crate) command: CliCommand,
}

/// The commands of the program.
#[derive(Debug, Subcommand)]
pub(crate) enum CliCommand {
    /// Run the server.
    ///
    /// It stores deployments in a database, decides when traffic switches, and serves
    /// the gRPC API. Stops gracefully at SIGTERM, SIGHUP or Ctrl-C.
    Serve(Box<ServeArgs>),
    /// Verify a database: list every broken invariant.
    ///
    /// Exits with 0 if all invariants hold, with 1 if one does not. Changes nothing; a
    /// server may be running on the database.
    Check(CheckArgs),
    /// Diagnose a server: its flags, database, clock, credentials and certificates.
    ///
    /// Takes the flags of `viridian serve`. Says for each problem how to fix it, and
    /// exits with 1 if there is one. Changes nothing.
    Doctor(Box<DoctorArgs>),
    /// Copy a SQLite database to PostgreSQL.
    Copy(CopyArgs),
    /// Run routes as processes of this machine, and check their health.
    ///
    /// The agent connects to a server, starts and stops routes as the server asks,
    /// and reports their status and health. Stops them at SIGTERM, SIGHUP or
    /// Ctrl-C.
    Agent(AgentArgs),
    /// Show a deployment from start to end in this terminal.
    ///
    /// Runs a server, an agent and a stream of HTTP requests in one process, on a
    /// temporary database. Takes less than a minute, and removes everything at the end.
    Demo(DemoArgs),
    /// Create, inspect, promote and roll back deployments.
    #[command(after_long_help = exit_code::TABLE)]
    Deployment(Box<DeploymentArgs>),
    /// List the deployments in progress and what each waits for, oldest first.
    Top(TopArgs),
    /// Create a bearer token, and its entry for the server's credentials file.
    ///
    /// The token is printed once and not stored.
    Token(TokenArgs),
    /// Write the gRPC API as a FileDescriptorSet to stdout.
    ///
    /// For tools that have neither the .proto files nor server reflection.
    DescriptorSet,
    /// Print the version of this program, and of a server.
    ///
    /// The server is asked only if --server or VIRIDIAN_SERVER names one.
    Version(VersionArgs),
    /// Write a completion script for a shell to stdout.
    Completions(CompletionsArgs),
    /// Write the manual page to stdout, or a page for each command into a folder.
    Man(ManArgs),
    /// Run one route. Started by the agent only.
    #[command(hide = true)]
    RouteSupervisor(RouteSupervisorArgs),
    /// Run one replica of the demonstration. Started by `viridian demo` only.
    #[command(hide = true)]
    DemoReplica(ReplicaArgs),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{CliCommand, CommandLine};

    #[test]
    fn the_commands_are_well_formed() {
        CommandLine::command().debug_assert();
    }

    #[test]
    fn every_command_and_flag_has_help() {
        let mut missing = Vec::new();
        undocumented(&CommandLine::command(), &mut missing);
        assert_eq!(missing, [""; 0]);
    }

    /// Lists what has no help, below a command too.
    fn undocumented(command: &clap::Command, missing: &mut Vec<String>) {
        let name = command.get_name();
        if command.get_about().is_none() {
            missing.push(name.to_owned());
        }
        let flags = command.get_arguments().filter(|it| it.get_help().is_none());
        missing.extend(flags.map(|it| format!("{name} {}", it.get_id())));
        for subcommand in command.get_subcommands() {
            undocumented(subcommand, missing);
        }
    }

    #[test]
    fn bad_usage_is_exit_code_2() {
        for line in [
            "viridian",
            "viridian check",
            "viridian copy --from sqlite:x.db",
            "viridian check --database sqlite:x.db --grace soon",
            "viridian deployment create hello",
            "viridian deployment create a/b --image i --drain-grace soon",
            "viridian deployment create a/b --env KEY=VALUE",
            "viridian deployment activate a/b",
            "viridian deployment activate a/b --revision 2 -- program",
            "viridian deployment activate a/b --supersede",
            "viridian deployment activate a/b --replace --env A=1",
            "viridian deployment scale a/b",
            "viridian deployment scale a/b 2 --replicas 3",
            "viridian deployment activate a/b --revision 2 --timeout 5s",
            "viridian deployment update a/b --replicas many",
            "viridian deployment update a/b --gate-timeout 5s",
            "viridian deployment apply",
            "viridian deployment list --lifecycle lost",
            "viridian deployment routes a/b --all --status running",
            "viridian deployment history a/b --all --limit 3",
            "viridian deployment get a/b -o xml",
            "viridian demo --fail --rollback",
            "viridian completions klingon",
            "viridian deployment get a/b --tls-cert cert.pem",
            "viridian token --name ci --role viewer",
            "viridian token --name ci --role admin --project shop",
            "viridian deployment get a/b --server ftp://example.org",
        ] {
            let error = CommandLine::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn arguments_after_two_dashes_are_the_command_of_the_route() {
        let line = "viridian route-supervisor --grace-ms 250 --quiet -- sleep --help";
        let cli = CommandLine::try_parse_from(line.split(' ')).expect("a command line");
        let CliCommand::RouteSupervisor(args) = cli.command else {
            panic!("parsed as {:?}", cli.command);
        };
        assert_eq!(args.command, ["sleep", "--help"]);
        assert_eq!((args.grace_ms, args.quiet), (250, true));
    }
}
