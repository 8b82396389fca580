//! `viridian descriptor-set`: the gRPC API as a FileDescriptorSet, for tools without
//! its .proto files and without reflection.

use std::{
    collections::HashSet,
    io::{self, IsTerminal as _, Write as _},
    process::ExitCode,
};

use prost::{DecodeError, Message as _};
use prost_types::{FileDescriptorProto, FileDescriptorSet};

use crate::exit_code;

/// Why the descriptor set was not written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DescriptorSetError {
    #[error(
        "a descriptor set is binary: redirect it to a file, as in `viridian descriptor-set > viridian.binpb`"
    )]
    Terminal,
    #[error("cannot write to stdout: {0}")]
    Output(#[from] io::Error),
    #[error("the built-in descriptors cannot be decoded: {0}")]
    Decode(#[from] DecodeError),
}

impl DescriptorSetError {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Terminal => exit_code::USAGE,
            Self::Output(_) | Self::Decode(_) => exit_code::SOFTWARE,
        }
    }
}

/// Writes the descriptor set to stdout.
pub(crate) fn run() -> Result<ExitCode, DescriptorSetError> {
    let mut stdout = io::stdout().lock();
    if stdout.is_terminal() {
        return Err(DescriptorSetError::Terminal);
    }
    stdout.write_all(&descriptor_set()?.encode_to_vec())?;
    // At the end of the program a failed write would go unnoticed.
    stdout.flush()?;
    Ok(ExitCode::SUCCESS)
}

/// The API, its imports, and the types of error details, which no file imports. Each
/// file once, after its own imports.
fn descriptor_set() -> Result<FileDescriptorSet, DecodeError> {
    let mut set = FileDescriptorSet::default();
    let mut names = HashSet::new();
    for encoded in [
        viridian_proto::FILE_DESCRIPTOR_SET,
        tonic_types::pb::FILE_DESCRIPTOR_SET,
    ] {
        let files = FileDescriptorSet::decode(encoded)?.file;
        let files = files.into_iter().map(with_import_path);
        set.file
            .extend(files.filter(|file| names.insert(file.name().to_owned())));
    }
    Ok(set)
}

/// Adds the folder to the names of google.rpc files, which tonic-types leaves out.
fn with_import_path(mut file: FileDescriptorProto) -> FileDescriptorProto {
    // Without the folder, importers of google/rpc/status.proto would not find it.
    if file.package() == "google.rpc" && !file.name().contains('/') {
        file.name = Some(format!("google/rpc/{}", file.name()));
    }
    file
}

#[cfg(test)]
mod tests {
    use prost_reflect::DescriptorPool;

    use super::*;

    #[test]
    fn the_set_holds_the_api_and_the_error_details() {
        let set = descriptor_set().expect("it is built in");
        let details = "google/rpc/error_details.proto";
        assert!(set.file.iter().any(|file| file.name() == details));
        let pool = DescriptorPool::from_file_descriptor_set(set).expect("it is complete");
        for name in [
            "viridian.deployment.v1.Deployment",
            "google.rpc.Status",
            "google.rpc.ErrorInfo",
            "google.rpc.PreconditionFailure",
        ] {
            assert!(pool.get_message_by_name(name).is_some(), "{name}");
        }
        let services = [
            "viridian.deployment.v1.DeploymentService",
            "viridian.deployment.v1.RouteService",
            "viridian.deployment.v1.TrafficService",
            "viridian.deployment.v1.SystemService",
        ];
        for name in services {
            assert!(pool.get_service_by_name(name).is_some(), "{name}");
        }
    }
}
