//! Resume tokens: what a watch follows, and where it goes on.
//!
//! A token alone is a request. A caller who repeats the query beside it has to repeat
//! it as it was: names are not looked up again, since a deployment that is gone by now
//! has events to come.

use viridian_feeds::{RouteCursor, WatchCursor, WatchTarget};
use viridian_strategy::{DeploymentId, Timestamp};

use crate::token::{Token, TokenRefusal, TokenSeal, digest};

/// What all tokens of one watch say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ResumeToken {
    /// What is watched.
    pub(crate) target: WatchTarget,
    /// The query as it was asked, see [`watch_query`].
    pub(crate) query: u64,
}

impl ResumeToken {
    /// Parses a token of a log.
    pub(crate) fn parse(text: &str, seal: &TokenSeal) -> Result<(Self, WatchCursor), TokenRefusal> {
        let opened = seal.open(text)?;
        // The log was no longer than this when earlier programs gave tokens for it.
        if !opened.is_sealed && opened.token.position > seal.unsealed_until() {
            return Err(TokenRefusal::OtherLog);
        }
        Self::of_token(opened.token).ok_or(TokenRefusal::Unknown)
    }

    fn of_token(token: Token) -> Option<(Self, WatchCursor)> {
        let snapshots_after = token.after()?.map(DeploymentId);
        let ids = token.deployments()?;
        // One without a seal may name any number.
        if ids.len() > MAX_DEPLOYMENTS {
            return None;
        }
        // A watch is either of deployments or of a project: a
        // token of both or of neither is made up.
        let target = match (ids.is_empty(), token.project.is_empty()) {
            (false, true) => WatchTarget::Deployments(ids.into_iter().map(DeploymentId).collect()),
            (true, false) => WatchTarget::Project(token.project),
            _ => return None,
        };
        let cursor = WatchCursor {
            position: token.position,
            snapshots_after,
        };
        let query = token.query;
        Some((Self { target, query }, cursor))
    }

    /// Writes the token of a place in the watch.
    pub(crate) fn at(&self, cursor: WatchCursor, seal: &TokenSeal) -> String {
        let after = cursor.snapshots_after.map(|id| id.0);
        let mut token = Token::new(cursor.position, after, self.query);
        match &self.target {
            WatchTarget::Deployments(ids) => token.set_deployments(ids.iter().map(|id| id.0)),
            WatchTarget::Project(name) => token.project.clone_from(name),
        }
        seal.seal(token)
    }
}

/// What a watch of routes is about, as digests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteQuery {
    /// What the request says.
    pub(crate) routes: u64,
    /// The projects of its caller.
    pub(crate) projects: u64,
}

/// What a token of a watch of routes says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RouteResume {
    pub(crate) cursor: RouteCursor,
    pub(crate) query: RouteQuery,
}

/// Writes the token of a watch of routes.
pub(crate) fn route_cursor_token(
    cursor: RouteCursor,
    query: RouteQuery,
    seal: &TokenSeal,
) -> String {
    let token = Token::new(cursor.position, None, query.routes);
    seal.seal(token.of_routes(cursor.time.as_micros(), query.projects))
}

/// Parses a token of a watch of routes.
///
/// # Errors
///
/// What to say of it, as the end of a sentence about its field.
pub(crate) fn parse_route_cursor(
    text: &str,
    query: RouteQuery,
    seal: &TokenSeal,
) -> Result<RouteResume, &'static str> {
    let opened = seal.open(text).map_err(TokenRefusal::message)?;
    // Earlier programs, whose tokens have no seal, had no such watches.
    if !opened.is_sealed || opened.token.query != query.routes {
        return Err("belongs to a watch of something else");
    }
    let Token {
        position,
        time,
        projects,
        ..
    } = opened.token;
    let time = Timestamp::from_micros(time);
    Ok(RouteResume {
        cursor: RouteCursor { position, time },
        query: RouteQuery { projects, ..query },
    })
}

/// The digest of a watch's query, in whatever order its deployments are.
pub(crate) fn watch_query(deployments: &[String], project: &str) -> u64 {
    let mut parts: Vec<&str> = deployments.iter().map(String::as_str).collect();
    parts.sort_unstable();
    parts.dedup();
    // After the sort, so that the project is always the last part.
    parts.push(project);
    digest(&parts)
}

/// How many deployments a watch may name: its tokens have the id of each.
pub(crate) const MAX_DEPLOYMENTS: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;
    use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
    use prost::Message as _;
    use uuid::Uuid;

    fn id(n: u128) -> DeploymentId {
        DeploymentId(Uuid::from_u128(n))
    }

    fn seal() -> TokenSeal {
        TokenSeal::of_test(0)
    }

    fn token(target: WatchTarget) -> ResumeToken {
        ResumeToken {
            target,
            query: watch_query(&["p/a".to_owned()], ""),
        }
    }

    #[test]
    fn d9_a_token_of_routes_is_of_one_watch_and_sealed() {
        let query = RouteQuery {
            routes: 5,
            projects: 6,
        };
        let cursor = RouteCursor {
            position: 1_234_567,
            time: Timestamp::from_micros(1_700_000_000_000_001),
        };
        let text = route_cursor_token(cursor, query, &seal());
        let given = Ok(RouteResume { cursor, query });
        assert_eq!(parse_route_cursor(&text, query, &seal()), given);
        // Other projects are for the caller to look at: the token is as good as before.
        let others = RouteQuery {
            projects: 7,
            ..query
        };
        assert_eq!(parse_route_cursor(&text, others, &seal()), given);
        let other = RouteQuery { routes: 6, ..query };
        let refused = parse_route_cursor(&text, other, &seal());
        assert_eq!(refused, Err("belongs to a watch of something else"));
        // A token that its caller has made: none was ever given without a seal.
        let made = Token::new(cursor.position, None, query.routes);
        let made = URL_SAFE_NO_PAD.encode(made.encode_to_vec());
        let of_old_log = TokenSeal::of_test(i64::MAX);
        assert!(of_old_log.open(&made).is_ok());
        assert!(parse_route_cursor(&made, query, &of_old_log).is_err());
    }

    #[test]
    fn a_token_says_where_a_watch_goes_on() {
        for target in [
            WatchTarget::Project("p".to_owned()),
            WatchTarget::Deployments(vec![id(1), id(2)]),
        ] {
            let token = token(target);
            for snapshots_after in [None, Some(id(7))] {
                let cursor = WatchCursor {
                    position: 1_234_567,
                    snapshots_after,
                };
                let read = ResumeToken::parse(&token.at(cursor, &seal()), &seal());
                assert_eq!(read, Ok((token.clone(), cursor)));
            }
        }
    }

    #[test]
    fn a_token_of_nothing_is_none() {
        let nothing = token(WatchTarget::Deployments(Vec::new()));
        let cursor = WatchCursor {
            position: 1,
            snapshots_after: None,
        };
        let page = seal().seal(Token::new(1, None, 2));
        for text in ["", "x", &nothing.at(cursor, &seal()), &page] {
            let read = ResumeToken::parse(text, &seal());
            assert_eq!(read, Err(TokenRefusal::Unknown), "{text:?}");
        }
    }

    /// Also one with the seal of this log, which no server gives.
    #[test]
    fn g3_a_token_names_a_bounded_number_of_deployments() {
        let cursor = WatchCursor {
            position: 1,
            snapshots_after: None,
        };
        for (count, is_read) in [(MAX_DEPLOYMENTS, true), (MAX_DEPLOYMENTS + 1, false)] {
            let ids = (0..count as u128).map(id).collect();
            let text = token(WatchTarget::Deployments(ids)).at(cursor, &seal());
            let read = ResumeToken::parse(&text, &seal());
            assert_eq!(read.is_ok(), is_read, "{count}: {read:?}");
        }
    }

    #[test]
    fn a_query_is_the_same_in_another_order() {
        let [a, b] = ["p/a".to_owned(), "p/b".to_owned()];
        let both = watch_query(&[a.clone(), b.clone()], "");
        assert_eq!(both, watch_query(&[b.clone(), a.clone(), b.clone()], ""));
        assert_ne!(both, watch_query(&[a], ""));
        assert_ne!(both, watch_query(&[b], "p/a"));
    }
}
