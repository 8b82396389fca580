use std::{
    env, fs,
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

/// The folder of PostgreSQL's newest server programs.
pub(super) fn postgres_programs() -> PathBuf {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let newest = versions
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .max_by_key(|version| version.parse::<u32>().unwrap_or_default());
    match newest {
        Some(version) => Path::new("/usr/lib/postgresql").join(version).join("bin"),
        None => tool("initdb").with_file_name(""),
    }
}
