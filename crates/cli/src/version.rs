//! `viridian version`: the version of this program, and of a server.

use std::process::ExitCode;

use clap::Args;
use viridian_client::CallError;
use viridian_proto::v1::{GetServerInfoRequest, GetServerInfoResponse};
use viridian_server::{COMMIT, VERSION};

use crate::{
    deployment::{CliSession, DeploymentError},
    output::{self, OutputFormat},
    runtime,
    server_args::ServerArgs,
};

/// The flags of `viridian version`.
#[derive(Debug, Args)]
pub(crate) struct VersionArgs {
    #[command(flatten)]
    server: ServerArgs,
}

/// Prints a line for this program, and one for the server if there is one to ask.
pub(crate) fn run(args: VersionArgs) -> Result<ExitCode, DeploymentError> {
    let program = line("program", VERSION, COMMIT, "");
    output::line(&program).map_err(output::OutputError::from)?;
    if args.server.is_named() {
        let info = runtime::single_threaded()
            .map_err(DeploymentError::Runtime)?
            .block_on(Box::pin(ask(args.server)))?;
        let details = format!(", schema {}{}", info.schema, features(&info));
        let server = line("server", &info.version, &info.commit, &details);
        output::line(&server).map_err(output::OutputError::from)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn ask(server: ServerArgs) -> Result<GetServerInfoResponse, DeploymentError> {
    let session = CliSession::new(server, OutputFormat::Table);
    let asked = async {
        let mut client = session.connect_system().await?;
        let reply = client.get_server_info(GetServerInfoRequest {}).await;
        Ok(reply.map_err(CallError::from)?.into_inner())
    };
    match asked.await {
        Ok(info) => Ok(info),
        Err(error) => Err(session.diagnosed(error).await),
    }
}

/// Like `server   0.1.0 (4f1c2d3e5a6b), schema 2026-11-30-000005`.
fn line(who: &str, version: &str, commit: &str, details: &str) -> String {
    let commit = match commit {
        "" => String::new(),
        commit => format!(" ({commit})"),
    };
    format!("{who:<8} {version}{commit}{details}")
}

fn features(info: &GetServerInfoResponse) -> String {
    match &info.features[..] {
        [] => String::new(),
        features => format!(", with {}", features.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn d11_a_build_that_knows_no_commit_names_none() {
        assert_eq!(line("program", "0.1.0", "", ""), "program  0.1.0");
        let known = line("server", "0.1.0", "4f1c2d3e5a6b", ", schema 1");
        assert_eq!(known, "server   0.1.0 (4f1c2d3e5a6b), schema 1");
    }
}
