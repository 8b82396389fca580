//! A record: what its files say, and a server on a copy of it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::process::Command;
use viridian_proto::v1::{DeploymentEvent, deployment_policy::Strategy};

use crate::harness::{
    Api, Engine, Server, TestDatabase, canonical, decode, encode, method, path, root, set_clock_off,
};

pub(super) struct Record {
    engine: Engine,
    /// The database: a file, or the statements that make it.
    database: PathBuf,
    /// What clients were given of it.
    said: Value,
}

/// The folders of all records.
pub(super) fn generations() -> Vec<PathBuf> {
    let entries = fs::read_dir(root().join("tests/records")).expect("the records");
    let mut folders: Vec<_> = entries.map(|it| it.expect("an entry").path()).collect();
    folders.retain(|it| it.is_dir());
    folders.sort();
    assert!(!folders.is_empty(), "there is a record");
    folders
}

impl Record {
    pub(super) fn read(folder: &Path, engine: Engine) -> Self {
        let (database, said) = match engine {
            Engine::Sqlite => ("sqlite.db", "sqlite.json"),
            Engine::Postgres => ("postgres.sql", "postgres.json"),
        };
        let said = fs::read_to_string(folder.join(said)).expect("it can be read");
        Self {
            engine,
            database: folder.join(database),
            said: serde_json::from_str(&said).expect("JSON"),
        }
    }

    /// Starts a server on a copy, as if it were this long after the record was made.
    pub(super) async fn open(&self, after: Duration) -> Server {
        let database = TestDatabase::create(self.engine).await;
        match database.url().strip_prefix("sqlite:") {
            Some(path) => {
                fs::copy(&self.database, path).expect("it can be copied");
            }
            None => {
                let dump = fs::read_to_string(&self.database).expect("it can be read");
                database.execute(&dump).await;
                let now = self.made_at() + after;
                let ahead = Timestamp::now().duration_until(now);
                database.set_clock(ahead).await;
            }
        }
        Server::on_with(database, |command| self.set_clock(command, after)).await
    }

    /// Has a program believe that it is this long after the record was made.
    pub(super) fn set_clock(&self, command: &mut Command, after: Duration) {
        let now = self.made_at() + after;
        set_clock_off(command, &now.strftime("@%Y-%m-%d %H:%M:%S").to_string());
    }

    fn made_at(&self) -> Timestamp {
        text(&self.said["made_at"]).parse().expect("a time")
    }

    /// The names of its deployments, and their ids.
    pub(super) fn deployments(&self) -> impl Iterator<Item = (&str, &str)> {
        let deployments = items(&self.said["deployments"]).iter();
        deployments.map(|it| {
            (
                text(&it["deployment"]["name"]),
                text(&it["deployment"]["id"]),
            )
        })
    }

    /// Asserts that a default which has changed since reaches no policy that was stored.
    pub(super) async fn policies_keep_what_they_say(&self, api: &Api) {
        let mut judged = 0;
        for known in items(&self.said["deployments"]) {
            let known = &known["deployment"];
            let spec = &known["policy"]["blueGreen"];
            if spec.is_null() {
                continue;
            }
            let deployment = api.get(text(&known["id"])).await;
            let policy = deployment.policy.expect("a policy");
            let Some(Strategy::BlueGreen(found)) = policy.strategy else {
                panic!("{known}: {policy:?}");
            };
            // As JSON had it: a number that is 0 was left out, and a delay never was.
            let replacements = spec["maxReplacements"].as_i64().unwrap_or(0);
            assert_eq!(found.max_replacements.map(i64::from), Some(replacements));
            let delay = found.scale_down_delay.expect("it is always said");
            let delay = format!("{}s", delay.seconds);
            assert_eq!(delay, text(&spec["scaleDownDelay"]), "{known}");
            judged += 1;
        }
        assert!(judged > 0, "there is a policy to judge");
    }

    /// Asserts that every read gives what it gave when the record was made.
    pub(super) async fn has_the_same(&self, api: &Api) {
        for known in items(&self.said["deployments"]) {
            let (name, id) = (
                text(&known["deployment"]["name"]),
                text(&known["deployment"]["id"]),
            );
            // It goes on by itself within seconds.
            if name == "back-off" {
                continue;
            }
            for (method, field, key) in [
                ("GetDeployment", "deployment", "deployment"),
                ("ListRoutes", "routes", "routes"),
                ("ListRevisions", "revisions", "revisions"),
                ("ListHistory", "entries", "history"),
                ("GetTraffic", "table", "table"),
            ] {
                let request = match method {
                    "ListRoutes" | "ListHistory" => {
                        format!(r#"{{"deployment":"{id}","pageSize":500}}"#)
                    }
                    _ => format!(r#"{{"deployment":"{id}"}}"#),
                };
                gives(api, method, &request, &json!({ field: known[key] })).await;
            }
        }
    }

    /// Repeats each request that had an id.
    pub(super) async fn replies_are_the_same(&self, api: &Api) {
        for known in items(&self.said["replies"]) {
            let request = known["request"].to_string();
            gives(api, text(&known["method"]), &request, &known["reply"]).await;
        }
    }

    /// Asks for the second page of each list by the token that the first one gave.
    pub(super) async fn pages_go_on(&self, api: &Api) {
        for page in items(&self.said["pages"]) {
            let method = method(text(&page["method"]));
            let request = encode(&method, &page["request"].to_string());
            let reply = api.raw(&path(&method), request).await;
            let reply = decode(&method, &reply.expect("the token is taken"));
            let found = items(&reply[text(&page["of"])]).iter();
            let found: Vec<_> = found.map(|it| &it[text(&page["key"])]).collect();
            let expected: Vec<_> = items(&page["found"]).iter().collect();
            assert_eq!(found, expected, "{page}");
        }
    }

    pub(super) fn watches(&self) -> impl Iterator<Item = Watch<'_>> {
        items(&self.said["watches"]).iter().map(Watch)
    }
}

/// A watch that was under way.
pub(super) struct Watch<'a>(&'a Value);

impl<'a> Watch<'a> {
    pub(super) fn token(&self) -> &'a str {
        text(&self.0["resumeToken"])
    }

    pub(super) fn events(&self) -> &'a [Value] {
        let events = items(&self.0["events"]);
        assert!(!events.is_empty(), "a watch of nothing");
        events
    }

    /// Asserts that an event is the one that came when the record was made.
    pub(super) fn is_next(&self, expected: &Value, event: &DeploymentEvent) {
        let deployment = event.deployment.as_ref().expect("a deployment");
        let kind = event.kind().as_str_name();
        let found = (
            kind,
            deployment.id.as_str(),
            deployment.sequence.to_string(),
        );
        let sequence = text(&expected["sequence"]).to_owned();
        let expected = (
            text(&expected["kind"]),
            text(&expected["deployment"]),
            sequence,
        );
        assert_eq!(found, expected, "{}", self.0["request"]);
    }
}

/// Asserts that a call gives what it gave before, and more at most.
async fn gives(api: &Api, name: &str, request: &str, expected: &Value) {
    let method = method(name);
    let reply = api.raw(&path(&method), encode(&method, request)).await;
    let reply = reply.unwrap_or_else(|status| panic!("{name}: {status:?}: {request}"));
    let reply = decode(&method, &reply);
    let expected = canonical(&method, &expected.to_string());
    assert!(
        has(&reply, &expected),
        "{name}: {request}\ngave {expected:#}\nand gives {reply:#}"
    );
}

/// Whether a value has all of another one: a newer program may say more.
fn has(value: &Value, expected: &Value) -> bool {
    match (value, expected) {
        (Value::Object(value), Value::Object(expected)) => expected
            .iter()
            // A blocker's sentence is made from its code and numbers when it is read, so a
            // newer program may word it better. What it waits for must be the same.
            .filter(|(key, _)| *key != "message" || !expected.contains_key("code"))
            .all(|(key, expected)| value.get(key).is_some_and(|it| has(it, expected))),
        (Value::Array(value), Value::Array(expected)) => {
            value.len() == expected.len() && value.iter().zip(expected).all(|(it, of)| has(it, of))
        }
        (value, expected) => value == expected,
    }
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("a text: {value}"))
}

fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}
