//! The golden files: one a document, with two lines a case, `# name` and the JSON.

use std::{fs, path::PathBuf};

pub(super) struct Golden {
    document: String,
    cases: Vec<(String, String)>,
}

impl Golden {
    pub(super) fn read(document: &str) -> Self {
        let path = folder().join(format!("{document}.txt"));
        let text = fs::read_to_string(&path).expect("the golden file can be read");
        let mut lines = text.lines();
        let mut cases = Vec::new();
        while let Some(name) = lines.next() {
            let name = name
                .strip_prefix("# ")
                .expect("a case begins with its name");
            let text = lines.next().expect("a case has a text");
            cases.push((name.to_owned(), text.to_owned()));
        }
        Self {
            document: document.to_owned(),
            cases,
        }
    }

    /// Asserts that the file has these cases, in this order.
    pub(super) fn has_exactly<'a>(&self, names: impl IntoIterator<Item = &'a str>) {
        let found: Vec<&str> = self.cases.iter().map(|(name, _)| name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        assert_eq!(found, names, "the cases of {}", self.document);
    }

    pub(super) fn text(&self, name: &str) -> &str {
        let case = self.cases.iter().find(|(of, _)| of == name);
        let (_, text) = case.unwrap_or_else(|| panic!("{} has no case {name}", self.document));
        text
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.cases
            .iter()
            .map(move |(name, text)| (name.as_str(), text.as_str()))
    }
}

pub(super) fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src/documents/golden")
}
