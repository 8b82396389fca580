//! The file of credentials: one table for each entry.
//!
//! ```toml
//! [[credential]]
//! name = "ci"
//! token_sha256 = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
//! roles = ["promoter"]
//! projects = ["shop"]
//! ```
//!
//! It may also have quotas, by project. What one does not say is the server's default:
//!
//! ```toml
//! [quota.shop]
//! deployments = 100
//! bytes = 67108864
//! ```
//!
//! Every field but `resource_groups` is required, and so is one entry. So a file that is cut off while it is
//! being written is not valid, unless it is cut between two entries.

use std::{collections::HashSet, fmt, sync::Arc};

use serde::{Deserialize, Serialize};
use toml::Spanned;
use viridian_store::{COORDINATOR, Projects};
use viridian_strategy::ProjectQuota;

use super::{
    caller::{ANONYMOUS, Principal},
    quotas::{Quotas, RawQuotas},
    role::Role,
    san::SubjectAltName,
    token::TokenDigest,
};
use crate::resource_name::is_resource_name;

/// All configured credentials.
pub(crate) struct Credentials {
    tokens: Vec<(TokenDigest, Arc<Principal>)>,
    certificates: Vec<(SubjectAltName, Arc<Principal>)>,
    quotas: Quotas,
}

/// What a caller shows to prove who it is.
#[derive(Clone, Debug)]
pub(crate) enum Credential {
    Token(TokenDigest),
    /// The names in a verified certificate.
    Certificate(Arc<[SubjectAltName]>),
}

/// Why a file of credentials is not valid. Displays as a sentence that names the line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{why}", .line.map(|line| format!("line {line}: ")).unwrap_or_default())]
pub(crate) struct CredentialsError {
    pub(crate) line: Option<usize>,
    pub(crate) why: String,
}

/// An entry in the form that is written.
#[derive(Serialize)]
pub(super) struct CredentialEntry<'a> {
    name: &'a str,
    token_sha256: String,
    roles: &'a [Role],
    projects: &'a [String],
    #[serde(skip_serializing_if = "<[String]>::is_empty")]
    resource_groups: &'a [String],
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialFile {
    #[serde(default)]
    credential: Vec<Spanned<RawCredential>>,
    #[serde(default)]
    quota: RawQuotas,
}

/// An entry in the form that is read.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawCredential {
    name: String,
    // Optional for the parser only, so that `add` can say that exactly one of the two is needed.
    token_sha256: Option<TokenDigest>,
    san: Option<SubjectAltName>,
    roles: Vec<Role>,
    projects: Vec<String>,
    #[serde(default)]
    resource_groups: Vec<String>,
}

impl Credentials {
    pub(crate) fn parse(text: &str) -> Result<Self, CredentialsError> {
        let file: CredentialFile = toml::from_str(text).map_err(|error| CredentialsError {
            line: error.span().map(|span| line_at(text, span.start)),
            // Not `to_string`: that quotes the line, which may
            // hold a token that was pasted by mistake.
            why: error.message().replace('\n', " "),
        })?;
        // An empty file is most likely one that is being written: it must lock no caller out.
        if file.credential.is_empty() {
            let why = "there is no [[credential]]".to_owned();
            return Err(CredentialsError { line: None, why });
        }
        let mut all = Self {
            tokens: Vec::new(),
            certificates: Vec::new(),
            quotas: Quotas::checked(file.quota).map_err(|(at, why)| CredentialsError {
                line: Some(line_at(text, at)),
                why,
            })?,
        };
        let mut names = HashSet::new();
        for raw in file.credential {
            let line = line_at(text, raw.span().start);
            all.add(raw.into_inner(), &mut names)
                .map_err(|why| CredentialsError {
                    line: Some(line),
                    why,
                })?;
        }
        Ok(all)
    }

    /// Whom a credential stands for. A token is compared with all tokens, each in constant
    /// time. For a certificate the first entry with one of its names counts.
    pub(crate) fn find(&self, credential: &Credential) -> Option<&Arc<Principal>> {
        match credential {
            // No early return: the time must not depend on which token matches.
            Credential::Token(shown) => {
                self.tokens.iter().fold(None, |found, (digest, principal)| {
                    if digest.is(shown) {
                        Some(principal)
                    } else {
                        found
                    }
                })
            }
            Credential::Certificate(names) => self
                .certificates
                .iter()
                .find(|(san, _)| names.contains(san))
                .map(|(_, principal)| principal),
        }
    }

    /// What a project may use: what the file says of it, or else the default.
    pub(crate) fn quota(&self, project: &str, default: ProjectQuota) -> ProjectQuota {
        self.quotas.of(project, default)
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.tokens.len() + self.certificates.len()
    }

    /// Whether some entries are for certificates.
    pub(crate) fn need_certificates(&self) -> bool {
        !self.certificates.is_empty()
    }

    fn add(
        &mut self,
        raw: RawCredential,
        sans: &mut HashSet<SubjectAltName>,
    ) -> Result<(), String> {
        let resource_groups = checked_groups(raw.resource_groups, &raw.roles)?;
        let principal = Arc::new(Principal {
            name: checked_name(raw.name)?,
            roles: checked_roles(raw.roles)?,
            projects: checked_projects(raw.projects)?,
            resource_groups,
        });
        match (raw.token_sha256, raw.san) {
            (Some(digest), None) => {
                // Whom it stands for would depend on the order of the entries.
                if self.tokens.iter().any(|(other, _)| other.is(&digest)) {
                    return Err("another entry has the same token".to_owned());
                }
                self.tokens.push((digest, principal));
            }
            (None, Some(san)) => {
                if !sans.insert(san.clone()) {
                    return Err(format!("another entry has the same san, {san}"));
                }
                self.certificates.push((san, principal));
            }
            _ => return Err("must have either token_sha256 or san".to_owned()),
        }
        Ok(())
    }
}

impl<'a> CredentialEntry<'a> {
    pub(super) fn of_token(
        name: &'a str,
        token_sha256: String,
        roles: &'a [Role],
        projects: &'a [String],
        resource_groups: &'a [String],
    ) -> Self {
        Self {
            name,
            token_sha256,
            roles,
            projects,
            resource_groups,
        }
    }
}

impl fmt::Display for CredentialEntry<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fields = toml::to_string(self).map_err(|_| fmt::Error)?;
        write!(f, "[[credential]]\n{fields}")
    }
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Credentials({} entries)", self.len())
    }
}

/// A name that history can show, and that does not stand for anything else there.
fn checked_name(name: String) -> Result<String, String> {
    if [ANONYMOUS, COORDINATOR].contains(&name.as_str()) {
        return Err(format!("the name {name:?} has a meaning of its own"));
    }
    // A name with a line break or with spaces at its ends could pass for another actor in history.
    let plain = name.trim() == name && !name.contains(char::is_control);
    if name.is_empty() || name.len() > MAX_NAME || !plain {
        return Err(format!(
            "name must be 1 to {MAX_NAME} bytes without control characters or spaces around it"
        ));
    }
    Ok(name)
}

fn checked_roles(roles: Vec<Role>) -> Result<Vec<Role>, String> {
    if roles.is_empty() {
        return Err("roles must name at least one role".to_owned());
    }
    Ok(roles)
}

fn checked_projects(projects: Vec<String>) -> Result<Projects, String> {
    // Only alone: `*` beside names is most likely a mistake, and is refused below as no name.
    if projects == [ALL_PROJECTS] {
        return Ok(Projects::All);
    }
    if projects.is_empty() || !projects.iter().all(|project| is_resource_name(project)) {
        return Err(
            "projects must name at least one project, or be [\"*\"] for all there are".to_owned(),
        );
    }
    Ok(Projects::These(projects))
}

/// None for all groups: an entry that names none is one of an earlier version, too.
fn checked_groups(groups: Vec<String>, roles: &[Role]) -> Result<Option<Vec<String>>, String> {
    if groups.is_empty() {
        return Ok(None);
    }
    // With another role they would look like a restriction and be none.
    if !roles.contains(&Role::Agent) {
        return Err("resource_groups needs the role agent".to_owned());
    }
    let is_group = |group: &String| !group.is_empty() && !group.contains(char::is_control);
    match groups.iter().all(is_group) {
        true => Ok(Some(groups)),
        false => Err("resource_groups must be names, without control characters".to_owned()),
    }
}

fn line_at(text: &str, position: usize) -> usize {
    let before = text.as_bytes().iter().take(position);
    before.filter(|byte| **byte == b'\n').count() + 1
}

const ALL_PROJECTS: &str = "*";
const MAX_NAME: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08";

    fn token(text: &str) -> Credential {
        Credential::Token(TokenDigest::of(text.as_bytes()))
    }

    fn certificate(names: &[&str]) -> Credential {
        let names = names
            .iter()
            .map(|&name| SubjectAltName::try_from(name.to_owned()));
        Credential::Certificate(names.map(|name| name.expect("a name")).collect())
    }

    fn entry(fields: &str) -> String {
        format!("# Who there is.\n\n[[credential]]\n{fields}\n")
    }

    #[test]
    fn a_file_says_who_there_is() {
        let text = format!(
            r#"
            # The pipeline.
            [[credential]]
            name = "ci"
            token_sha256 = "{DIGEST}"
            roles = ["promoter", "proxy"]
            projects = ["shop", "blog"]

            [[credential]]
            name = "edge"
            san = "uri:spiffe://example.org/edge"
            roles = ["proxy"]
            projects = ["*"]
            "#
        );
        let credentials = Credentials::parse(&text).expect("a file");
        assert_eq!(credentials.len(), 2);
        let ci = credentials.find(&token("test")).expect("its token");
        assert_eq!(
            **ci,
            Principal {
                name: "ci".to_owned(),
                roles: vec![Role::Promoter, Role::Proxy],
                projects: Projects::These(vec!["shop".to_owned(), "blog".to_owned()]),
                resource_groups: None,
            }
        );
        let shown = certificate(&["dns:edge", "uri:spiffe://example.org/edge"]);
        let edge = credentials.find(&shown).expect("its name");
        assert_eq!(
            (edge.name.as_str(), &edge.projects),
            ("edge", &Projects::All)
        );
        for nobody in [
            token(""),
            token("Test"),
            token(DIGEST),
            certificate(&[]),
            certificate(&["dns:spiffe://example.org/edge", "uri:spiffe://example.org/"]),
        ] {
            assert!(credentials.find(&nobody).is_none(), "{nobody:?}");
        }
    }

    #[test]
    fn g14_an_agent_may_be_bound_to_resource_groups() {
        let of = |roles: &str, groups: &str| {
            Credentials::parse(&entry(&format!(
                "name = \"a\"\ntoken_sha256 = \"{DIGEST}\"\nroles = [{roles}]\n\
                 projects = [\"*\"]\n{groups}"
            )))
        };
        let groups = |credentials: &Credentials| {
            let found = credentials.find(&token("test")).expect("its token");
            found.resource_groups.clone()
        };
        let bound = of("\"agent\"", "resource_groups = [\"gpu\", \"edge 1\"]").expect("a file");
        let names = ["gpu", "edge 1"].map(str::to_owned);
        assert_eq!(groups(&bound), Some(names.into()));
        for all in ["", "resource_groups = []"] {
            assert_eq!(
                groups(&of("\"agent\"", all).expect("a file")),
                None,
                "{all}"
            );
        }
        for (roles, wrong, part) in [
            ("\"viewer\", \"proxy\"", "[\"gpu\"]", "needs the role agent"),
            ("\"agent\"", "[\"\"]", "must be names"),
            ("\"agent\"", "[\"a\\n\"]", "must be names"),
            ("\"agent\"", "\"gpu\"", "line 8"),
        ] {
            let error = of(roles, &format!("resource_groups = {wrong}")).expect_err(part);
            assert!(error.to_string().contains(part), "{error}");
        }
    }

    #[test]
    fn g11_quotas_are_by_project_and_the_rest_is_the_default() {
        let good = format!(
            "name = \"ci\"\ntoken_sha256 = \"{DIGEST}\"\nroles = [\"viewer\"]\nprojects = [\"*\"]"
        );
        let with = |quota: &str| Credentials::parse(&entry(&format!("{good}\n{quota}")));
        let default = ProjectQuota {
            deployments: 5,
            replicas: 50,
            ..ProjectQuota::default()
        };
        let text = "[quota.shop]\nreplicas = 7\nbytes = 100\n[quota.blog]\ndeployments = 0";
        let credentials = with(text).expect("a file");
        let shop = ProjectQuota {
            replicas: 7,
            bytes: 100,
            ..default
        };
        let blog = ProjectQuota {
            deployments: 0,
            ..default
        };
        for (project, expected) in [("shop", shop), ("blog", blog), ("other", default)] {
            assert_eq!(credentials.quota(project, default), expected, "{project}");
        }
        for (quota, part) in [
            ("[quota.shop]\nreplicas = -1", "negative"),
            ("[quota.shop]\npods = 1", "unknown field `pods`"),
            (
                "[quota.\"a/b\"]\nreplicas = 1",
                "no project can have this name",
            ),
        ] {
            let error = with(quota).expect_err(quota);
            assert!(error.why.contains(part), "{quota}: {error}");
            assert!(error.line.is_some_and(|line| line >= 8), "{quota}: {error}");
        }
    }

    #[test]
    fn two_tokens_may_have_one_name() {
        let of = |digit: &str| {
            let digest = digit.repeat(64);
            format!(
                "[[credential]]\nname = \"ci\"\ntoken_sha256 = \"{digest}\"\n\
                 roles = [\"viewer\"]\nprojects = [\"*\"]\n"
            )
        };
        let both = Credentials::parse(&format!("{}{}", of("a"), of("b"))).expect("a file");
        assert_eq!(both.len(), 2);
        let error = Credentials::parse(&format!("{}{}", of("a"), of("A"))).expect_err("one token");
        assert_eq!(
            error.to_string(),
            "line 6: another entry has the same token"
        );
    }

    #[test]
    fn of_a_certificate_with_two_names_the_first_entry_counts() {
        let of = |name: &str, san: &str| {
            format!(
                "[[credential]]\nname = \"{name}\"\nsan = \"{san}\"\n\
                 roles = [\"viewer\"]\nprojects = [\"*\"]\n"
            )
        };
        let text = format!("{}{}", of("a", "dns:A.org"), of("b", "dns:b.org"));
        let credentials = Credentials::parse(&text).expect("a file");
        let shown = certificate(&["dns:b.org", "dns:a.org"]);
        assert_eq!(credentials.find(&shown).expect("one of them").name, "a");
        let twice = format!("{}{}", of("a", "dns:a.org"), of("b", "dns:A.ORG"));
        let error = Credentials::parse(&twice).expect_err("one name");
        assert_eq!(error.line, Some(6));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let good = format!(
            "name = \"ci\"\ntoken_sha256 = \"{DIGEST}\"\nroles = [\"viewer\"]\nprojects = [\"*\"]"
        );
        Credentials::parse(&entry(&good)).expect("it is good");
        for (from, to, line, part) in [
            ("\"viewer\"", "\"admin\"", 6, "unknown variant `admin`"),
            ("[\"viewer\"]", "[]", 3, "roles must name"),
            ("[\"viewer\"]", "\"viewer\"", 6, "sequence"),
            ("[\"*\"]", "[]", 3, "projects must name"),
            ("[\"*\"]", "[\"*\", \"shop\"]", 3, "projects must name"),
            ("[\"*\"]", "[\"Shop/web\"]", 3, "projects must name"),
            ("\"ci\"", "\"\"", 3, "name must be"),
            ("\"ci\"", "\" ci\"", 3, "name must be"),
            ("\"ci\"", "\"c\\ni\"", 3, "name must be"),
            ("\"ci\"", "\"anonymous\"", 3, "anonymous"),
            ("\"ci\"", "\"coordinator\"", 3, "coordinator"),
            ("\"ci\"", "\"ci", 4, ""),
            ("name", "nmae", 4, "unknown field `nmae`"),
            (&DIGEST[..1], "x", 5, "64 hexadecimal digits"),
            (&DIGEST[..1], "", 5, "64 hexadecimal digits"),
            ("token_sha256", "san", 5, "dns:NAME"),
            ("name = \"ci\"", "", 3, "missing field `name`"),
            ("projects = [\"*\"]", "", 3, "missing field `projects`"),
            (
                "projects = [\"*\"]",
                "projects = [\"*\"]\nsan = \"dns:a\"",
                3,
                "either",
            ),
            (
                "projects = [\"*\"]",
                "projects = [\"*\"]\n[other]",
                8,
                "unknown field `other`",
            ),
        ] {
            let text = entry(&good.replacen(from, to, 1));
            let error = Credentials::parse(&text).expect_err(to);
            assert_eq!(error.line, Some(line), "{to}: {error}");
            assert!(error.why.contains(part), "{to}: {error}");
            assert!(!error.to_string().contains('\n'), "{to}: {error}");
            assert!(!error.to_string().contains(&DIGEST[8..]), "{to}: {error}");
        }
        let no_proof = good.replace(&format!("token_sha256 = \"{DIGEST}\"\n"), "");
        let error = Credentials::parse(&entry(&no_proof)).expect_err("who is it");
        assert_eq!(
            error.to_string(),
            "line 3: must have either token_sha256 or san"
        );
    }

    /// A good call must not be refused while the file is being written.
    #[test]
    fn a_file_that_is_cut_off_is_none_unless_between_two_entries() {
        let of = |name: &str| {
            let entry = super::super::new_token(name, &[Role::Viewer], &["*".to_owned()], &[]);
            entry.expect("a token").entry
        };
        let (first, second) = (of("a"), of("b"));
        let whole = format!("{first}{second}");
        for cut in 0..whole.len() {
            // The line feed at the end of an entry is not needed.
            let between = [first.len() - 1, first.len(), whole.len() - 1].contains(&cut);
            let parsed = Credentials::parse(&whole[..cut]);
            assert_eq!(parsed.is_ok(), between, "{cut}: {parsed:?}");
        }
    }
}
