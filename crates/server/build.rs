//! Notes the commit that a release is built from, for GetServerInfo and `viridian version`.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-env-changed=VIRIDIAN_COMMIT");
    let commit = env::var("VIRIDIAN_COMMIT").unwrap_or_else(|_| commit_of_checkout());
    println!("cargo:rustc-env=VIRIDIAN_BUILD_COMMIT={commit}");
}

/// Empty where there is no checkout. A build for development has none either: each commit
/// would compile this crate again.
fn commit_of_checkout() -> String {
    if env::var("PROFILE").as_deref() != Ok("release") {
        println!("cargo:rerun-if-changed=build.rs");
        return String::new();
    }
    // The log of HEAD grows at each commit, HEAD itself only when the branch changes.
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo:rerun-if-changed={path}");
        }
    }
    git(&["rev-parse", "--short=12", "HEAD"]).unwrap_or_default()
}

fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_owned())
}
