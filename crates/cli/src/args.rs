//! The commands. The flags of each stand beside the code that uses them.

use clap::{Parser, Subcommand};

use crate::{
    agent::{AgentArgs, SupervisorArgs},
    check::CheckArgs,
    completions::CompletionsArgs,
    copy::CopyArgs,
    demo::{DemoArgs, replica::ReplicaArgs},
    deployment::DeploymentArgs,
    doctor::DoctorArgs,
    man::ManArgs,
    serve::ServeArgs,
    token::TokenArgs,
    top::TopArgs,
};

/// Replaces the revision that serves traffic by a new one, at once and without
/// a failed request.
#[derive(Debug, Parser)]
#[command(version)]
pub(crate) struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What the program can do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run the control plane.
    Serve(ServeArgs),
    /// Check that a database holds what must always be so. A server may run on it.
    Check(CheckArgs),
    /// Look over what a server is told, its database and its credentials, and say
    /// what is wrong and how to mend it.
    Doctor(Box<DoctorArgs>),
    /// Copy all of a SQLite file to PostgreSQL.
    Copy(CopyArgs),
    /// Run routes as processes of this machine and check their health.
    Agent(AgentArgs),
    /// Watch a deployment happen, from start to end, in this terminal.
    Demo(DemoArgs),
    /// Create, look at and promote deployments.
    Deployment(DeploymentArgs),
    /// See what is in motion, and what it waits for, the oldest first.
    Top(TopArgs),
    /// Make a token, and what to add to the server's file of credentials.
    Token(TokenArgs),
    /// Write the contract as a FileDescriptorSet to stdout, for tools without the
    /// sources and without reflection.
    DescriptorSet,
    /// Write what a shell needs to complete command lines to stdout.
    Completions(CompletionsArgs),
    /// Write the manual page to stdout, or a page for every command into a folder.
    Man(ManArgs),
    /// Run one route: started by the agent, never by hand.
    #[command(hide = true)]
    RouteSupervisor(SupervisorArgs),
    /// Serve as one replica of the demonstration.
    #[command(hide = true)]
    DemoReplica(ReplicaArgs),
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory as _, Parser as _};

    use super::{Cli, Command};

    #[test]
    fn the_commands_are_well_formed() {
        Cli::command().debug_assert();
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
            "viridian deployment activate a/b --supersede -- program",
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
            let error = Cli::try_parse_from(line.split(' ')).expect_err(line);
            assert_eq!(error.exit_code(), 2, "{line}");
        }
    }

    #[test]
    fn what_follows_two_dashes_is_the_route_command() {
        let line = "viridian route-supervisor --grace-ms 250 --quiet -- sleep --help";
        let cli = Cli::try_parse_from(line.split(' ')).expect("a command line");
        let Command::RouteSupervisor(args) = cli.command else {
            panic!("parsed as {:?}", cli.command);
        };
        assert_eq!(args.command, ["sleep", "--help"]);
        assert_eq!((args.grace_ms, args.quiet), (250, true));
    }
}
