//! What the replicas of a deployment speak.

use viridian_proto::v1::DeploymentProtocol;
use viridian_store::Protocol;

use super::Violations;

/// What the replicas of a deployment speak, from the wire; the default when it is not set.
pub(crate) fn parse_protocol(wire: i32, violations: &mut Violations) -> Protocol {
    // By its number: the getter of a message gives UNSPECIFIED for one that this release does not
    // know, and proxies would get the default instead of what was asked for.
    match DeploymentProtocol::try_from(wire) {
        Ok(DeploymentProtocol::Unspecified) => Protocol::default(),
        Ok(DeploymentProtocol::Http1) => Protocol::Http1,
        Ok(DeploymentProtocol::Http2) => Protocol::Http2,
        Ok(DeploymentProtocol::Tcp) => Protocol::Tcp,
        Err(_) => {
            violations.add("protocol", "must be HTTP1, HTTP2 or TCP");
            Protocol::default()
        }
    }
}

/// The same, to the wire.
pub(crate) fn protocol(protocol: Protocol) -> DeploymentProtocol {
    match protocol {
        Protocol::Http1 => DeploymentProtocol::Http1,
        Protocol::Http2 => DeploymentProtocol::Http2,
        Protocol::Tcp => DeploymentProtocol::Tcp,
    }
}
