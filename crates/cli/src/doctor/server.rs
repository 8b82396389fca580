//! A server that runs: whether it answers, and serves.

use std::{fs, path::Path};

use tonic::transport::{Certificate, Channel, ClientTlsConfig};
use tonic_health::pb::{
    HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient,
};

use viridian_proto::v1::deployment_service_server::SERVICE_NAME;

use super::finding::DoctorFinding;
use crate::client::{CallError, answer, connect};

/// Asks for its health, for which nobody needs credentials.
pub(crate) async fn look(url: &str, ca: Option<&Path>) -> DoctorFinding {
    let tls = match tls(url, ca) {
        Ok(tls) => tls,
        Err(why) => return DoctorFinding::wrong("server", why, "give --tls-ca a file in PEM"),
    };
    match ask(url, tls).await {
        Ok(ServingStatus::Serving) => DoctorFinding::fine("server", format!("{url} serves")),
        Ok(status) => DoctorFinding::wrong(
            "server",
            format!("{url} says {}", status.as_str_name()),
            "its log says why; it ends, or waits for its database",
        ),
        Err(error) => DoctorFinding::wrong(
            "server",
            error,
            "see that it runs and listens there, and for https:// that --tls-ca is its CA",
        ),
    }
}

fn tls(url: &str, ca: Option<&Path>) -> Result<Option<ClientTlsConfig>, String> {
    if !url.starts_with("https://") {
        return Ok(None);
    }
    let Some(ca) = ca else {
        return Ok(Some(ClientTlsConfig::new().with_native_roots()));
    };
    let pem = fs::read(ca).map_err(|error| format!("cannot read {}: {error}", ca.display()))?;
    let tls = ClientTlsConfig::new().ca_certificate(Certificate::from_pem(pem));
    Ok(Some(tls))
}

async fn ask(url: &str, tls: Option<ClientTlsConfig>) -> Result<ServingStatus, CallError> {
    let channel: Channel = connect(url, tls).await?;
    let mut client = HealthClient::new(channel);
    // Not of the server as a whole, which lives without its database too.
    let request = HealthCheckRequest {
        service: SERVICE_NAME.to_owned(),
    };
    let reply = answer(client.check(request)).await?;
    Ok(reply.status())
}
