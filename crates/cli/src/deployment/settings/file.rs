//! The file of `viridian deployment apply`.

use std::{collections::BTreeSet, fmt, fs, io, path::Path};

use super::{
    DeploymentSettings, SettingError,
    mistake::{SettingMistake, SettingProblem},
    yaml::{self, SettingNode},
};

/// Why a file has no settings.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SettingsFileError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("{file}:{line}: this is not valid YAML: {reason}")]
    Yaml {
        file: String,
        line: usize,
        reason: String,
    },
    #[error("{file} has no settings: set project and name")]
    Empty { file: String },
    #[error("{}", LinesOfFile { file, mistakes })]
    Mistakes {
        file: String,
        mistakes: Vec<SettingMistake>,
    },
    #[error(transparent)]
    Setting(#[from] SettingError),
}

/// Mistakes, each on a line with its place.
struct LinesOfFile<'a> {
    file: &'a str,
    mistakes: &'a [SettingMistake],
}

impl fmt::Display for LinesOfFile<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { file, mistakes } = self;
        match mistakes.len() {
            1 => {}
            count => writeln!(f, "{file} has {count} mistakes:")?,
        }
        for (index, mistake) in mistakes.iter().enumerate() {
            let line_break = if index == 0 { "" } else { "\n" };
            let line = mistake.line.unwrap_or(1);
            write!(f, "{line_break}{file}:{line}: {mistake}")?;
        }
        Ok(())
    }
}

impl DeploymentSettings {
    /// Reads a YAML file, each of whose documents names its deployment; `-` is stdin.
    pub(in crate::deployment) fn read(path: &Path) -> Result<Vec<Self>, SettingsFileError> {
        let file = path.display().to_string();
        let text = match file.as_str() {
            "-" => io::read_to_string(io::stdin()),
            _ => fs::read_to_string(path),
        };
        match text {
            Ok(text) => Self::of_file(file, &text),
            Err(source) => Err(SettingsFileError::Read { file, source }),
        }
    }

    pub(super) fn of_file(file: String, text: &str) -> Result<Vec<Self>, SettingsFileError> {
        let documents = match yaml::documents(text) {
            Ok(documents) if documents.is_empty() => return Err(SettingsFileError::Empty { file }),
            Ok(documents) => documents,
            Err(yaml::YamlProblem { line, reason }) => {
                return Err(SettingsFileError::Yaml { file, line, reason });
            }
        };
        let (mut all, mut mistakes) = (Vec::new(), Vec::new());
        let mut names = BTreeSet::new();
        for document in documents {
            let settings = match Self::of_tree(&document) {
                Ok(settings) => settings,
                Err(SettingError::Mistakes(found)) => {
                    mistakes.extend(found);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            let wrong = |path: String, problem| SettingMistake {
                line: document.line,
                path,
                problem,
            };
            let missing = settings.missing_names().into_iter();
            mistakes.extend(missing.map(|it| wrong(it.to_owned(), SettingProblem::Missing)));
            if !names.insert(settings.deployment()) {
                mistakes.push(wrong(settings.deployment(), SettingProblem::SameDeployment));
            }
            all.push(settings);
        }
        match mistakes.is_empty() {
            true => Ok(all),
            false => Err(SettingsFileError::Mistakes { file, mistakes }),
        }
    }

    fn of_tree(tree: &SettingNode) -> Result<Self, SettingError> {
        Ok(Self::of_parsed(super::parse::parse(tree)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<DeploymentSettings>, SettingsFileError> {
        DeploymentSettings::of_file("cart.yaml".to_owned(), text)
    }

    #[test]
    fn b8_every_mistake_of_every_document_has_its_line() {
        let text = "project: shop\nname: a\nreplicas: 1\n---\nproject: shop\n---\n\
                    project: shop\nname: b\n---\nproject: shop\nname: b\n";
        let error = read(text).expect_err("it is wrong").to_string();
        assert_eq!(
            error,
            "cart.yaml has 3 mistakes:\n\
             cart.yaml:3: replicas: unknown setting; did you mean target_replicas?\n\
             cart.yaml:5: name: is missing\n\
             cart.yaml:10: shop/b: is in the file twice"
        );
    }

    #[test]
    fn a_file_may_have_several_documents() {
        let text = "project: shop\nname: a\n---\n# nothing\n---\nproject: shop\nname: b\n";
        let all = read(text).expect("settings");
        let names: Vec<_> = all.iter().map(DeploymentSettings::deployment).collect();
        assert_eq!(names, ["shop/a", "shop/b"]);
    }

    #[test]
    fn a_file_without_settings_says_so() {
        for text in ["", "# nothing\n", "---\n---\n"] {
            let error = read(text).expect_err("it is empty").to_string();
            assert_eq!(error, "cart.yaml has no settings: set project and name");
        }
        let error = read("project: shop\nname: [").expect_err("no YAML");
        assert!(
            error.to_string().contains("this is not valid YAML"),
            "{error}"
        );
    }
}
