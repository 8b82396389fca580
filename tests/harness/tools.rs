use std::{
    env,
    path::{Path, PathBuf},
};

/// The root of the repository.
pub(crate) fn root() -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    root.canonicalize().expect("the repository is there")
}

/// A program that the tests need: from PATH, or from where scripts/install-tools
/// puts it.
pub(crate) fn tool(name: &str) -> PathBuf {
    let path = env::var_os("PATH").unwrap_or_default();
    let mut folders = env::split_paths(&path).chain([root().join("target/tools/bin")]);
    folders
        .find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
        .unwrap_or_else(|| {
            panic!(
                "{name} is neither on PATH nor in target/tools/bin, and its tests are never \
                 skipped: run scripts/install-tools"
            )
        })
}
