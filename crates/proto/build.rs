//! Compiles the contract without protoc, and keeps its comments for reflection.

use std::{env, error::Error, fs, path::PathBuf};

use prost::Message as _;

const FILES: [&str; 4] = [
    "viridian/deployment/v1/deployment_service.proto",
    "viridian/deployment/v1/route_service.proto",
    "viridian/deployment/v1/system_service.proto",
    "viridian/deployment/v1/traffic_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    let root = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?).join("../../proto");
    println!("cargo:rerun-if-changed={}", root.display());

    let mut compiler = protox::Compiler::new([&root])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;
    let descriptors = compiler.file_descriptor_set();

    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("viridian.bin"), descriptors.encode_to_vec())?;
    // Ordered maps: the same message always has the same bytes, so that a repeat
    // of a request can be told from another request.
    tonic_prost_build::configure()
        .btree_map(".")
        // Their Debug forms are written by hand: without values that may be secret.
        .skip_debug([
            "viridian.deployment.v1.RevisionSpec",
            "viridian.deployment.v1.Assignment",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
