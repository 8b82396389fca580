//! Resume tokens: where a watch goes on, and what it is of.
//!
//! A token says all that is needed, so that it alone is a request, on any server
//! of the database. Whoever repeats the question beside it has to repeat it as
//! it was: names are not looked up again, since a deployment that is gone by now
//! has events to come.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use uuid::Uuid;
use viridian_store::EventFilter;
use viridian_strategy::DeploymentId;

use crate::{paging::digest, watches::events::Topic};

/// What a watch is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Question {
    /// These deployments, in the order of their ids.
    Deployments(Vec<DeploymentId>),
    /// Whatever deployments a project has.
    Project(String),
}

/// Where a watch goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Resume {
    /// What it is of.
    pub(crate) question: Question,
    /// The question as it was asked, see [`asked`].
    pub(crate) asked: u64,
    /// The position behind which its events are.
    pub(crate) position: i64,
    /// The deployment behind which snapshots are still to come, as of the
    /// position.
    pub(crate) snapshots_behind: Option<DeploymentId>,
}

#[derive(Clone, PartialEq, Message)]
struct Token {
    #[prost(uint32, tag = "1")]
    version: u32,
    #[prost(int64, tag = "2")]
    position: i64,
    #[prost(fixed64, tag = "3")]
    asked: u64,
    #[prost(string, tag = "4")]
    project: String,
    /// 16 bytes each.
    #[prost(bytes = "vec", tag = "5")]
    deployments: Vec<u8>,
    /// 16 bytes, or none.
    #[prost(bytes = "vec", tag = "6")]
    snapshots_behind: Vec<u8>,
}

impl Question {
    /// What its events are.
    pub(crate) fn filter(&self) -> EventFilter {
        match self {
            Self::Deployments(ids) => EventFilter {
                deployments: ids.clone(),
                projects: Vec::new(),
            },
            Self::Project(name) => EventFilter {
                deployments: Vec::new(),
                projects: vec![name.clone()],
            },
        }
    }

    /// What it follows.
    pub(crate) fn topics(&self) -> Vec<Topic> {
        match self {
            Self::Deployments(ids) => ids.iter().copied().map(Topic::Deployment).collect(),
            Self::Project(name) => vec![Topic::Project(name.clone())],
        }
    }
}

impl Resume {
    /// Parses a token; none when it is not one that a server gave.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let token = Token::decode(bytes.as_slice()).ok()?;
        let ids = ids_of(&token.deployments)?;
        let question = match (ids.is_empty(), token.project.is_empty()) {
            (false, true) => Question::Deployments(ids),
            (true, false) => Question::Project(token.project),
            _ => return None,
        };
        let snapshots_behind = match ids_of(&token.snapshots_behind)?.as_slice() {
            [] => None,
            [id] => Some(*id),
            _ => return None,
        };
        (token.version == VERSION && token.position >= 0).then_some(Self {
            question,
            asked: token.asked,
            position: token.position,
            snapshots_behind,
        })
    }

    /// The token.
    pub(crate) fn token(&self) -> String {
        let (project, deployments) = match &self.question {
            Question::Deployments(ids) => (String::new(), bytes_of(ids)),
            Question::Project(name) => (name.clone(), Vec::new()),
        };
        let token = Token {
            version: VERSION,
            position: self.position,
            asked: self.asked,
            project,
            deployments,
            snapshots_behind: bytes_of(self.snapshots_behind.as_slice()),
        };
        URL_SAFE_NO_PAD.encode(token.encode_to_vec())
    }
}

/// A question as it was asked, in whatever order.
pub(crate) fn asked(deployments: &[String], project: &str) -> u64 {
    let mut parts: Vec<&str> = deployments.iter().map(String::as_str).collect();
    parts.sort_unstable();
    parts.dedup();
    parts.push(project);
    digest(&parts)
}

fn bytes_of(ids: &[DeploymentId]) -> Vec<u8> {
    ids.iter().flat_map(|id| *id.0.as_bytes()).collect()
}

fn ids_of(bytes: &[u8]) -> Option<Vec<DeploymentId>> {
    let (whole, rest) = bytes.as_chunks::<16>();
    let id = |bytes: &[u8; 16]| DeploymentId(Uuid::from_bytes(*bytes));
    rest.is_empty().then(|| whole.iter().map(id).collect())
}

/// Of what a token says. One of another version is of another release.
const VERSION: u32 = 1;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(n: u128) -> DeploymentId {
        DeploymentId(Uuid::from_u128(n))
    }

    fn resume(question: Question) -> Resume {
        Resume {
            question,
            asked: asked(&["p/a".to_owned()], ""),
            position: 1_234_567,
            snapshots_behind: None,
        }
    }

    #[test]
    fn a_token_says_where_it_goes_on() {
        for question in [
            Question::Project("p".to_owned()),
            Question::Deployments(vec![id(1), id(2)]),
        ] {
            let mut resume = resume(question);
            assert_eq!(Resume::parse(&resume.token()), Some(resume.clone()));
            resume.snapshots_behind = Some(id(7));
            assert_eq!(Resume::parse(&resume.token()), Some(resume));
        }
    }

    #[test]
    fn anything_else_is_none() {
        let good = resume(Question::Project("p".to_owned()));
        let mut later = good.clone();
        later.position = -1;
        let cut = good.token()[..good.token().len() - 3].to_owned();
        let nothing = resume(Question::Deployments(Vec::new())).token();
        for text in ["", "x", "not a token", &cut, &later.token(), &nothing] {
            assert_eq!(Resume::parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_question_is_the_same_in_another_order() {
        let [a, b] = ["p/a".to_owned(), "p/b".to_owned()];
        let both = asked(&[a.clone(), b.clone()], "");
        assert_eq!(both, asked(&[b.clone(), a.clone(), b.clone()], ""));
        assert_ne!(both, asked(&[a], ""));
        assert_ne!(both, asked(&[b], "p/a"));
    }
}
