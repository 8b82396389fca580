//! The check of a running server: its health service.

use std::path::Path;

use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};
use viridian_client::{CallError, ClientTlsFiles, ServerTarget, unary};
use viridian_proto::v1::deployment_service_server::SERVICE_NAME;

use super::finding::DoctorFinding;
use crate::call_error::describe;

/// Asks for the health of the server, which needs no credentials.
pub(crate) async fn examine(url: &str, ca: Option<&Path>) -> DoctorFinding {
    let target = match target(url, ca) {
        Ok(target) => target,
        Err(why) => return DoctorFinding::wrong("server", why, "set --tls-ca to a PEM file"),
    };
    match ask(&target).await {
        Ok(ServingStatus::Serving) => DoctorFinding::fine("server", format!("{url} serves")),
        Ok(status) => DoctorFinding::wrong(
            "server",
            format!("{url} reports {}", status.as_str_name()),
            "see its log: it is shutting down, or cannot reach its database",
        ),
        Err(error) => DoctorFinding::wrong(
            "server",
            describe(&error),
            "check that it is running and listens there, and for https:// that --tls-ca is its CA",
        ),
    }
}

fn target(url: &str, ca: Option<&Path>) -> Result<ServerTarget, String> {
    let target = ServerTarget::new(url).map_err(|error| error.to_string())?;
    if !target.is_encrypted() {
        // The variable for the CA may be set for another server.
        return Ok(target);
    }
    let files = ClientTlsFiles {
        ca: ca.map(Path::to_owned),
        identity: None,
    };
    target.with_tls(files).map_err(|error| error.to_string())
}

async fn ask(target: &ServerTarget) -> Result<ServingStatus, CallError> {
    let mut client = HealthClient::new(target.connect().await?);
    // The health of the service, not of the whole server: that one stays SERVING
    // without its database.
    let request = HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    };
    let reply = unary(client.check(request)).await?;
    Ok(reply.status())
}
