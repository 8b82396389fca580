//! The wire contract of Viridian, generated from `proto/` at build time.
//!
//! Nothing but generated code lives here, and the Debug forms of messages whose values may
//! be secret: the conversions between these messages and the domain are the server's.

mod redacted;

/// The package `viridian.deployment.v1`.
#[expect(
    clippy::allow_attributes,
    clippy::allow_attributes_without_reason,
    clippy::large_enum_variant,
    reason = "generated code"
)]
pub mod v1 {
    tonic::include_proto!("viridian.deployment.v1");
}

/// The encoded `FileDescriptorSet` of the contract and of all that it imports,
/// with its comments.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/viridian.bin"));
