use std::{fmt, path::PathBuf};

use url::Url;

use crate::error::OpenError;

/// Where a database is.
#[derive(Clone, PartialEq, Eq)]
pub enum Location {
    /// In a file.
    Sqlite(PathBuf),
    /// Behind a PostgreSQL server.
    Postgres(Url),
}

impl Location {
    /// Parses `sqlite:PATH` or `postgres://USER@HOST:PORT/NAME`.
    ///
    /// # Errors
    ///
    /// [`OpenError::Url`] for what cannot work.
    pub fn parse(text: &str) -> Result<Self, OpenError> {
        let (scheme, rest) = text.split_once(':').unwrap_or(("", text));
        match scheme {
            "sqlite" => sqlite(rest),
            "postgres" | "postgresql" => postgres(text),
            _ => Err(OpenError::Url(
                "it must begin with sqlite: or postgres://".into(),
            )),
        }
    }
}

fn sqlite(path: &str) -> Result<Location, OpenError> {
    let path = path.strip_prefix("//").unwrap_or(path);
    if path.is_empty() || path.ends_with('/') {
        return Err(OpenError::Url("sqlite: needs the path of a file".into()));
    }
    if path == ":memory:" || path.contains('?') {
        return Err(OpenError::Url(
            "sqlite: takes the path of a file, and no more".into(),
        ));
    }
    Ok(Location::Sqlite(PathBuf::from(path)))
}

fn postgres(text: &str) -> Result<Location, OpenError> {
    let url = Url::parse(text).map_err(|error| OpenError::Url(error.to_string()))?;
    if url.path().trim_start_matches('/').is_empty() {
        return Err(OpenError::Url("it needs the name of a database".into()));
    }
    text.parse::<tokio_postgres::Config>().map_err(|error| {
        let why = std::error::Error::source(&error).map(ToString::to_string);
        OpenError::Url(why.unwrap_or_else(|| error.to_string()))
    })?;
    Ok(Location::Postgres(url))
}

/// Without the password.
impl fmt::Debug for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => write!(f, "sqlite:{}", path.display()),
            Self::Postgres(url) => {
                let (host, name) = (url.host_str().unwrap_or_default(), url.path());
                write!(f, "postgres://{host}:{}{name}", url.port().unwrap_or(5432))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_what_cannot_work() {
        for (url, why) in [
            ("", "must begin with"),
            ("mysql://h/db", "must begin with"),
            ("sqlite:", "needs the path"),
            ("sqlite::memory:", "path of a file"),
            ("postgres://h", "name of a database"),
            ("postgres://h:notaport/db", "port"),
        ] {
            let error = Location::parse(url).expect_err(url).to_string();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn debug_has_no_password() {
        let location = Location::parse("postgres://me:secret@db:5433/viridian").expect("a URL");
        assert_eq!(format!("{location:?}"), "postgres://db:5433/viridian");
    }
}
