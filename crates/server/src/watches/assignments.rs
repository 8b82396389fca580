//! The feed of assignments.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::{
        Notify,
        broadcast::{
            Receiver,
            error::{RecvError, TryRecvError},
        },
        watch,
    },
    time::{Instant, sleep_until},
};
use viridian_proto::v1;
use viridian_store::{Action, Database, Notification, OpenAssignments, Projects, StoreError};
use viridian_strategy::RouteId;

use super::POLL;
use crate::convert::route::assignment;

/// What is followed: a group's routes, of some projects.
type Topic = (String, Projects);

/// Hands the open assignments of a group to those who follow it, whole, at each
/// look.
pub(crate) struct AssignmentFeed {
    groups: Mutex<Groups>,
    /// Told when there is someone who follows.
    follower: Notify,
}

#[derive(Default)]
struct Groups {
    by_topic: HashMap<Topic, Group>,
    /// How many looks were begun.
    looks: u64,
}

struct Group {
    followers: usize,
    open: watch::Sender<Arc<Open>>,
    /// When to look, if nothing happens before.
    look_at: Instant,
}

/// The open assignments of a group.
#[derive(Default)]
pub(crate) struct Open {
    look: u64,
    pub(crate) assignments: Vec<OpenAssignment>,
}

/// One of them, and what distinguishes it.
pub(crate) struct OpenAssignment {
    pub(crate) key: (RouteId, Action),
    pub(crate) message: v1::Assignment,
}

/// A stream's place in the feed, until it is dropped.
pub(crate) struct Subscription<'a> {
    feed: &'a AssignmentFeed,
    topic: Topic,
    open: watch::Receiver<Arc<Open>>,
    /// The first look that was begun since.
    first: u64,
}

impl AssignmentFeed {
    pub(super) fn new() -> Self {
        Self {
            groups: Mutex::default(),
            follower: Notify::new(),
        }
    }

    /// Follows a group, and has it looked at: one that joins others must not see
    /// again what was closed since their last look.
    pub(crate) fn subscribe(&self, name: &str, projects: &Projects) -> Subscription<'_> {
        let topic = (name.to_owned(), projects.clone());
        let mut groups = self.lock();
        let first = groups.looks + 1;
        let group = groups
            .by_topic
            .entry(topic.clone())
            .or_insert_with(|| Group {
                followers: 0,
                open: watch::Sender::default(),
                look_at: Instant::now(),
            });
        group.followers += 1;
        group.look_at = Instant::now();
        let open = group.open.subscribe();
        drop(groups);
        self.follower.notify_one();
        Subscription {
            feed: self,
            topic,
            open,
            first,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Groups> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a group that is to be looked at now, with the number of the look.
    fn take_due(&self) -> Option<(Topic, u64)> {
        let mut groups = self.lock();
        let now = Instant::now();
        let due = groups.by_topic.iter_mut().find(|it| it.1.look_at <= now);
        let topic = due.map(|(topic, group)| {
            group.look_at = now + POLL;
            topic.clone()
        })?;
        groups.looks += 1;
        Some((topic, groups.looks))
    }

    fn publish(&self, topic: &Topic, look: u64, found: OpenAssignments) {
        let open = found.open.into_iter().map(|it| OpenAssignment {
            key: (it.route.view.id, it.action),
            message: assignment(it),
        });
        let open = Arc::new(Open {
            look,
            assignments: open.collect(),
        });
        if let Some(group) = self.lock().by_topic.get_mut(topic) {
            let next = found.next.unwrap_or(POLL).min(POLL);
            group.look_at = group.look_at.min(Instant::now() + next);
            group.open.send_replace(open);
        }
    }

    /// Has groups looked at now.
    fn hurry(&self, concerns: impl Fn(&str) -> bool) {
        let now = Instant::now();
        for ((name, _), group) in &mut self.lock().by_topic {
            if concerns(name) {
                group.look_at = now;
            }
        }
    }

    /// When the next group is to be looked at; none when nobody follows any.
    fn next(&self) -> Option<Instant> {
        let groups = self.lock();
        groups.by_topic.values().map(|group| group.look_at).min()
    }
}

/// Looks at what is followed for ever.
pub(super) async fn run(feed: &AssignmentFeed, database: &Database) {
    loop {
        feed.follower.notified().await;
        // Armed before the first look, so that nothing falls between.
        let mut commits = database.subscribe();
        while let Some(next) = feed.next() {
            tokio::select! {
                commit = commits.recv() => hear(feed, commit, &mut commits).await,
                () = feed.follower.notified() => {}
                () = sleep_until(next) => {}
            }
            while let Some((topic, look)) = feed.take_due() {
                match look_at(database, &topic).await {
                    Ok(found) => feed.publish(&topic, look, found),
                    Err(error) => {
                        tracing::warn!(group = topic.0, %error, "assignments cannot be read");
                    }
                }
            }
        }
    }
}

async fn hear(
    feed: &AssignmentFeed,
    commit: Result<Notification, RecvError>,
    commits: &mut Receiver<Notification>,
) {
    match commit {
        Ok(commit) => feed.hurry(|group| commit.may_assign(group)),
        Err(RecvError::Lagged(_)) => feed.hurry(|_| true),
        Err(RecvError::Closed) => std::future::pending().await,
    }
    // What else was announced until now is found by the same looks.
    loop {
        match commits.try_recv() {
            Ok(commit) => feed.hurry(|group| commit.may_assign(group)),
            Err(TryRecvError::Lagged(_)) => feed.hurry(|_| true),
            Err(TryRecvError::Empty | TryRecvError::Closed) => return,
        }
    }
}

async fn look_at(
    database: &Database,
    (group, projects): &Topic,
) -> Result<OpenAssignments, StoreError> {
    let projects = projects.clone();
    database.open_assignments(group, projects, MAX_OPEN).await
}

impl Subscription<'_> {
    /// Waits for what is open, as of behind the subscription, or for what is
    /// open then. Loses nothing when it is dropped before.
    pub(crate) async fn next(&mut self) -> Arc<Open> {
        loop {
            if self.open.changed().await.is_err() {
                return std::future::pending().await;
            }
            let open = Arc::clone(&self.open.borrow_and_update());
            if open.look >= self.first {
                return open;
            }
        }
    }
}

impl Drop for Subscription<'_> {
    fn drop(&mut self) {
        let mut groups = self.feed.lock();
        if let Some(group) = groups.by_topic.get_mut(&self.topic) {
            group.followers -= 1;
            if group.followers == 0 {
                groups.by_topic.remove(&self.topic);
            }
        }
    }
}

const MAX_OPEN: u32 = 10_000;

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    fn nothing() -> OpenAssignments {
        OpenAssignments {
            open: Vec::new(),
            next: None,
        }
    }

    #[test]
    fn whoever_joins_waits_for_a_look_of_his_own() {
        let feed = AssignmentFeed::new();
        let mut first = feed.subscribe("g", &Projects::All);
        let (name, look) = feed.take_due().expect("it is looked at");
        let mut second = feed.subscribe("g", &Projects::All);
        feed.publish(&name, look, nothing());
        assert!(first.next().now_or_never().is_some());
        assert!(second.next().now_or_never().is_none(), "it is too old");
        let (name, look) = feed.take_due().expect("it is looked at again");
        feed.publish(&name, look, nothing());
        assert!(second.next().now_or_never().is_some());
        assert!(first.next().now_or_never().is_some());
    }

    #[test]
    fn only_what_is_followed_and_concerned_is_looked_at() {
        let feed = AssignmentFeed::new();
        let (one, other) = (
            feed.subscribe("g", &Projects::All),
            feed.subscribe("h", &Projects::All),
        );
        while let Some((name, look)) = feed.take_due() {
            feed.publish(&name, look, nothing());
        }
        feed.hurry(|group| group == "h");
        assert_eq!(feed.take_due().map(|it| it.0.0), Some("h".to_owned()));
        assert_eq!(feed.take_due(), None);
        drop((one, other));
        assert_eq!(feed.next(), None);
    }
}
