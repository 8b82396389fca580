//! Secrets of revisions: files of the server's configuration.
//!
//! The value of a secret is the content of `FOLDER/PROJECT/SECRET/KEY`, as Kubernetes mounts
//! secrets. A deployment can name only those in the folder of its own project. Files are read
//! at each use, so that a changed secret counts from the next replica on.

use std::{
    fs::{self, File},
    io::{self, Read as _},
    os::unix::fs::OpenOptionsExt as _,
    path::{Path, PathBuf},
};

use nix::fcntl::OFlag;
use thiserror::Error;
use viridian_store::SecretReference;

use crate::resource_name::is_resource_name;

/// Where the secrets are. Without a folder there are none.
#[derive(Clone, Debug, Default)]
pub(crate) struct SecretFolder(Option<PathBuf>);

/// Why a secret has no value that a replica could be given. Displays as a sentence for
/// operators of its project: with no path, and no part of a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub(crate) enum SecretError {
    #[error("secret {0} is not known to the server")]
    Unknown(String),
    #[error("secret {} has no key {} on the server", .0.secret, .0.key)]
    NoKey(SecretReference),
    #[error("secret {0} is larger than {MAX_VALUE_BYTES} bytes")]
    TooLarge(SecretReference),
    #[error("secret {0} is no text that an environment variable can have")]
    NoText(SecretReference),
    #[error("secret {0} cannot be read by the server, whose log says why")]
    Unreadable(SecretReference),
}

impl SecretFolder {
    /// A folder, or none.
    ///
    /// # Errors
    ///
    /// A sentence, when it is not there.
    pub(crate) fn open(folder: Option<PathBuf>) -> Result<Self, String> {
        if let Some(folder) = &folder {
            fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
        }
        Ok(Self(folder))
    }

    /// The value of a secret of a project, as it is now. Blocks.
    pub(crate) fn read(
        &self,
        project: &str,
        reference: &SecretReference,
    ) -> Result<String, SecretError> {
        let unknown = || SecretError::Unknown(reference.secret.clone());
        // Checked again here: a name from a row is not one that this program has checked.
        let is_name = |name: &String| !name.is_empty() && !name.contains(['/', '\0']);
        let names = [&reference.secret, &reference.key];
        let are_names = names.iter().all(|it| is_name(it) && !it.starts_with(".."));
        let Some(folder) = self.0.as_ref().filter(|_| are_names) else {
            return Err(unknown());
        };
        if !is_resource_name(project) {
            return Err(unknown());
        }
        let project = folder.join(project);
        let secret = project.join(&reference.secret);
        if !secret.is_dir() {
            return Err(unknown());
        }
        let value = read_within(&project, &secret.join(&reference.key));
        value.map_err(|error| match error {
            ReadError::Io(error) if error.kind() == io::ErrorKind::NotFound => {
                SecretError::NoKey(reference.clone())
            }
            ReadError::TooLarge => SecretError::TooLarge(reference.clone()),
            ReadError::NoText => SecretError::NoText(reference.clone()),
            ReadError::Outside | ReadError::Io(_) => {
                let secret = secret.display();
                tracing::warn!(%secret, key = reference.key, why = %error, "a secret cannot be read");
                SecretError::Unreadable(reference.clone())
            }
        })
    }
}

#[derive(Debug, Error)]
enum ReadError {
    #[error("it leads out of the folder of its project")]
    Outside,
    #[error("it is too large")]
    TooLarge,
    #[error("it is no text without NUL")]
    NoText,
    #[error("{0}")]
    Io(#[from] io::Error),
}

/// Reads a file below a folder. Links are followed within the folder, since Kubernetes mounts
/// every key as one.
fn read_within(folder: &Path, file: &Path) -> Result<String, ReadError> {
    let (folder, file) = (folder.canonicalize()?, file.canonicalize()?);
    if !file.starts_with(folder) {
        return Err(ReadError::Outside);
    }
    // O_NOFOLLOW: the last name was a file when its path was made canonical, and must not
    // have become a link since. O_NONBLOCK: to open a pipe would wait for a writer.
    let flags = OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK;
    let mut options = File::options();
    let opened = options.read(true).custom_flags(flags.bits()).open(file)?;
    if !opened.metadata()?.is_file() {
        return Err(io::Error::other("it is not a regular file").into());
    }
    let mut content = Vec::new();
    opened.take(MAX_VALUE_BYTES + 1).read_to_end(&mut content)?;
    if content.len() as u64 > MAX_VALUE_BYTES {
        return Err(ReadError::TooLarge);
    }
    let text = String::from_utf8(content).map_err(|_| ReadError::NoText)?;
    match text.contains('\0') {
        true => Err(ReadError::NoText),
        false => Ok(text),
    }
}

const MAX_VALUE_BYTES: u64 = 32 * 1024;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use nix::{sys::stat::Mode, unistd::mkfifo};
    use tempfile::TempDir;

    use super::*;

    fn folder() -> (TempDir, SecretFolder) {
        let folder = tempfile::tempdir().expect("a folder");
        let secret = folder.path().join("shop/db");
        fs::create_dir_all(&secret).expect("a secret");
        fs::write(secret.join("password"), "s3cret\n").expect("a key");
        let secrets = SecretFolder::open(Some(folder.path().to_owned()));
        (folder, secrets.expect("it is there"))
    }

    fn reference(secret: &str, key: &str) -> SecretReference {
        let (secret, key) = (secret.to_owned(), key.to_owned());
        SecretReference { secret, key }
    }

    #[test]
    fn g15_a_secret_is_the_content_of_its_file_at_each_use() {
        let (folder, secrets) = folder();
        let password = reference("db", "password");
        assert_eq!(secrets.read("shop", &password), Ok("s3cret\n".to_owned()));
        fs::write(folder.path().join("shop/db/password"), "other").expect("a key");
        assert_eq!(secrets.read("shop", &password), Ok("other".to_owned()));
    }

    #[test]
    fn g15_a_secret_as_kubernetes_mounts_it_is_read() {
        let (folder, secrets) = folder();
        let secret = folder.path().join("shop/mounted");
        fs::create_dir_all(secret.join("..2026_11_30")).expect("a folder");
        fs::write(secret.join("..2026_11_30/token"), "t").expect("a key");
        symlink("..2026_11_30", secret.join("..data")).expect("a link");
        symlink("..data/token", secret.join("token")).expect("a link");
        let read = |key| secrets.read("shop", &reference("mounted", key));
        assert_eq!(read("token"), Ok("t".to_owned()));
        // What stands beside the keys is no key.
        for key in ["..data", "..2026_11_30", "..data/token"] {
            assert!(read(key).is_err(), "{key}");
        }
    }

    #[test]
    fn g15_another_project_has_no_part_in_it() {
        let (folder, secrets) = folder();
        fs::create_dir_all(folder.path().join("blog/own")).expect("a folder");
        fs::write(folder.path().join("top"), "x").expect("a file");
        symlink(
            "../../shop/db/password",
            folder.path().join("blog/own/stolen"),
        )
        .expect("a link");
        symlink("../shop/db", folder.path().join("blog/db")).expect("a link");
        symlink("/etc/hostname", folder.path().join("blog/own/host")).expect("a link");
        for (project, secret, key) in [
            ("blog", "db", "password"),
            ("blog", "own", "stolen"),
            ("blog", "own", "host"),
            ("blog", "../shop/db", "password"),
            ("blog", "own", "../../shop/db/password"),
            ("blog/../shop", "db", "password"),
            ("..", "shop", "db"),
            (".", "shop", "db"),
            ("", "shop", "db"),
            ("shop", "", "db/password"),
            ("shop", "db", ""),
            ("shop", ".", "db"),
            ("shop", "..", "top"),
        ] {
            let read = secrets.read(project, &reference(secret, key));
            assert!(read.is_err(), "{project}/{secret}/{key}: {read:?}");
        }
    }

    #[test]
    fn g15_what_is_missing_or_no_value_is_said_without_paths() {
        let (folder, secrets) = folder();
        let secret = folder.path().join("shop/db");
        fs::write(secret.join("binary"), [0xff, 0xfe]).expect("a key");
        fs::write(secret.join("nul"), "a\0b").expect("a key");
        fs::write(secret.join("large"), vec![b'a'; 32 * 1024 + 1]).expect("a key");
        fs::create_dir(secret.join("folder")).expect("a folder");
        mkfifo(&secret.join("pipe"), Mode::S_IRUSR | Mode::S_IWUSR).expect("a pipe");
        symlink("/dev/zero", secret.join("endless")).expect("a link");
        for (name, key, sentence) in [
            ("none", "password", "secret none is not known to the server"),
            ("db", "user", "secret db has no key user on the server"),
            (
                "db",
                "binary",
                "secret db/binary is no text that an environment variable can have",
            ),
            (
                "db",
                "nul",
                "secret db/nul is no text that an environment variable can have",
            ),
            ("db", "large", "secret db/large is larger than 32768 bytes"),
            (
                "db",
                "folder",
                "secret db/folder cannot be read by the server, whose log says why",
            ),
            (
                "db",
                "pipe",
                "secret db/pipe cannot be read by the server, whose log says why",
            ),
            (
                "db",
                "endless",
                "secret db/endless cannot be read by the server, whose log says why",
            ),
        ] {
            let error = secrets.read("shop", &reference(name, key)).expect_err(key);
            assert_eq!(error.to_string(), sentence);
        }
        let none = SecretFolder::default().read("shop", &reference("db", "password"));
        assert_eq!(none, Err(SecretError::Unknown("db".to_owned())));
        let missing = folder.path().join("missing");
        SecretFolder::open(Some(missing)).expect_err("it is not there");
    }
}
