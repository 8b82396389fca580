//! The file of `viridian deployment apply`.

use std::{fs, io, path::Path};

use super::{DeploymentSettings, SettingError};

/// Why a file has no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsFileError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file} is not valid YAML: {source}")]
    Yaml {
        file: String,
        source: Box<serde_saphyr::Error>,
    },
    #[error("{file} does not name a deployment: set project and name")]
    NoName { file: String },
    #[error(transparent)]
    Setting(#[from] SettingError),
}

impl DeploymentSettings {
    /// Reads a YAML file that names its deployment; `-` is stdin.
    pub(in crate::deployment) fn read(path: &Path) -> Result<Self, SettingsFileError> {
        let file = path.display().to_string();
        let text = match file.as_str() {
            "-" => io::read_to_string(io::stdin()),
            _ => fs::read_to_string(path),
        };
        let text = match text {
            Ok(text) => text,
            Err(source) => return Err(SettingsFileError::Read { file, source }),
        };
        let yaml = match serde_saphyr::from_str(&text) {
            Ok(yaml) => yaml,
            Err(source) => {
                let source = Box::new(source);
                return Err(SettingsFileError::Yaml { file, source });
            }
        };
        let settings = Self::parse(&yaml)?;
        if settings.has_name() {
            Ok(settings)
        } else {
            Err(SettingsFileError::NoName { file })
        }
    }
}
