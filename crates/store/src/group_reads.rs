//! Reads of what a resource group has: assignments and routes, each with what describes its
//! deployment, and the revisions, which are read once for all routes that run them.

use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;
use viridian_strategy::{DeploymentId, RevisionId, RouteId, Timestamp};

use crate::{
    Assignment, AssignmentPosition, AssignmentSelection, DeploymentSummary, GroupRoute,
    GroupRouteFilter, GroupRoutePosition, Projects, Revision, RevisionOutline, Route, Store,
    assignments::AssignmentRow, error::StoreError,
};

/// The assignments that schedulers may take now, or a selection of them.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenAssignments {
    /// The oldest first.
    pub open: Vec<Assignment>,
    /// How long until another assignment of the group becomes available.
    pub next: Option<Duration>,
    /// The time at which they were available.
    pub as_of: Timestamp,
}

/// What describes deployments, by their ids.
type Summaries = HashMap<DeploymentId, Arc<DeploymentSummary>>;

#[expect(
    clippy::missing_errors_doc,
    reason = "each fails only when the database does"
)]
impl Store {
    /// Returns a selection of the assignments of a resource group that are available now.
    pub async fn open_assignments(
        &self,
        resource_group: &str,
        projects: Projects,
        selection: &AssignmentSelection,
    ) -> Result<OpenAssignments, StoreError> {
        // One time for all queries. With two, what becomes available in between is in neither.
        let now = self.now().await?;
        let group = resource_group.to_owned();
        let (of, mut after) = match selection {
            AssignmentSelection::All => (None, None),
            AssignmentSelection::Since(time) => (None, Some(end_of(*time))),
            AssignmentSelection::Of(ids) => (Some(ids), None),
        };
        let (mut open, mut summaries) = (Vec::new(), Summaries::new());
        let mut reader = self.reader().await?;
        loop {
            let page = reader
                .list_assignments(group.clone(), projects.clone(), of, now, after, PAGE_SIZE)
                .await?;
            let is_last = (page.len() as i64) < PAGE_SIZE;
            after = page.last().map(AssignmentRow::position);
            let ids = page.iter().map(|row| row.route.deployment);
            find_missing(&mut reader, &mut summaries, ids).await?;
            open.extend(
                page.into_iter()
                    .filter_map(|row| assignment(row, &summaries)),
            );
            if is_last {
                break;
            }
        }
        let next = reader.next_assignment(group, now).await?;
        Ok(OpenAssignments {
            open,
            next: next.map(|at| at.since(now)),
            as_of: now,
        })
    }

    /// Returns a page of the assignments of a group that schedulers may take now.
    pub async fn list_assignments(
        &self,
        resource_group: &str,
        projects: Projects,
        after: Option<AssignmentPosition>,
        limit: u32,
    ) -> Result<Vec<Assignment>, StoreError> {
        let now = self.now().await?;
        let group = resource_group.to_owned();
        let mut reader = self.reader().await?;
        let page = reader
            .list_assignments(group, projects, None, now, after, i64::from(limit))
            .await?;
        let mut summaries = Summaries::new();
        let ids = page.iter().map(|row| row.route.deployment);
        find_missing(&mut reader, &mut summaries, ids).await?;
        let page = page.into_iter();
        Ok(page.filter_map(|row| assignment(row, &summaries)).collect())
    }

    /// Returns a page of the routes of a resource group by deployment, oldest first, after one
    /// of them. None instead of a route that cannot be described: a shorter page is the last.
    pub async fn list_group_routes(
        &self,
        filter: GroupRouteFilter,
        after: Option<GroupRoutePosition>,
        limit: u32,
    ) -> Result<Vec<(GroupRoutePosition, Option<GroupRoute>)>, StoreError> {
        let mut reader = self.reader().await?;
        let page = reader
            .list_group_routes(filter, after, i64::from(limit))
            .await?;
        let mut summaries = Summaries::new();
        let ids = page.iter().map(|route| route.deployment);
        find_missing(&mut reader, &mut summaries, ids).await?;
        // Returned before revisions are read, which need a connection themselves.
        drop(reader);
        let ids = page.iter().map(|route| route.view.revision);
        let outlines = self.revision_outlines(ids).await?;
        let described = page.into_iter().map(|route| {
            let position = GroupRoutePosition::of(&route);
            (position, describe_route(route, &summaries, &outlines))
        });
        Ok(described.collect())
    }

    /// Finds revisions by id, as far as they can be read: where one is damaged, those of
    /// others are found all the same.
    pub async fn readable_revisions(
        &self,
        ids: impl IntoIterator<Item = RevisionId>,
    ) -> Result<HashMap<RevisionId, Arc<Revision>>, StoreError> {
        let (mut found, missing) = split(ids, |id| self.revisions().whole(id));
        for ids in missing.chunks(MAX_REVISIONS) {
            let kept = self.read_revisions(ids).await?.into_iter();
            found.extend(kept.map(|revision| (revision.id, revision)));
        }
        Ok(found)
    }

    /// Reads revisions in one statement; one by one, if that meets a damaged one.
    async fn read_revisions(&self, ids: &[RevisionId]) -> Result<Vec<Arc<Revision>>, StoreError> {
        let mut reader = self.reader().await?;
        let read = match reader.find_revisions_by_id(ids.to_vec()).await {
            Err(StoreError::Corrupt { .. } | StoreError::Internal(_)) => {
                let mut readable = Vec::new();
                for &id in ids {
                    match reader.find_revision_by_id(id).await {
                        Err(error @ (StoreError::Corrupt { .. } | StoreError::Internal(_))) => {
                            tracing::warn!(revision = %id, %error, "a revision cannot be read");
                        }
                        revision => readable.extend(revision?),
                    }
                }
                readable
            }
            read => read?,
        };
        let read = read.into_iter();
        Ok(read
            .map(|revision| self.revisions().keep(revision))
            .collect())
    }

    async fn revision_outlines(
        &self,
        ids: impl Iterator<Item = RevisionId>,
    ) -> Result<HashMap<RevisionId, Arc<RevisionOutline>>, StoreError> {
        let (mut found, missing) = split(ids, |id| self.revisions().outline(id));
        // A few at a time: whole revisions are large, and only their outlines are kept here.
        for ids in missing.chunks(MAX_REVISIONS) {
            let revisions = self.readable_revisions(ids.iter().copied()).await?;
            let outlines = revisions.values().map(|it| RevisionOutline::from(&**it));
            let outlines = outlines.map(|it| self.revisions().keep_outline(it));
            found.extend(outlines.map(|outline| (outline.id, outline)));
        }
        Ok(found)
    }

    /// Finds a revision. One that was read lately is not read again.
    pub async fn revision(&self, id: RevisionId) -> Result<Option<Arc<Revision>>, StoreError> {
        if let Some(revision) = self.revisions().whole(id) {
            return Ok(Some(revision));
        }
        let found = self.reader().await?.find_revision_by_id(id).await?;
        Ok(found.map(|revision| self.revisions().keep(revision)))
    }
}

/// What is cached of some revisions, and which of them are not, each once.
fn split<T>(
    ids: impl IntoIterator<Item = RevisionId>,
    cached: impl Fn(RevisionId) -> Option<T>,
) -> (HashMap<RevisionId, T>, Vec<RevisionId>) {
    let ids: BTreeSet<_> = ids.into_iter().collect();
    let (mut found, mut missing) = (HashMap::new(), Vec::new());
    for id in ids {
        match cached(id) {
            Some(revision) => drop(found.insert(id, revision)),
            None => missing.push(id),
        }
    }
    (found, missing)
}

/// Adds to a route what describes its deployment and its revision. None if one of them was
/// deleted since the route was read, and the route with it, or cannot be read.
fn describe_route(
    route: Route,
    summaries: &Summaries,
    outlines: &HashMap<RevisionId, Arc<RevisionOutline>>,
) -> Option<GroupRoute> {
    Some(GroupRoute {
        revision: Arc::clone(outlines.get(&route.view.revision)?),
        deployment: Arc::clone(summaries.get(&route.deployment)?),
        route,
    })
}

/// Adds what describes deployments that is not there yet.
async fn find_missing(
    reader: &mut crate::StoreConnection,
    summaries: &mut Summaries,
    ids: impl Iterator<Item = DeploymentId>,
) -> Result<(), StoreError> {
    let missing: BTreeSet<_> = ids.filter(|id| !summaries.contains_key(id)).collect();
    let missing: Vec<_> = missing.into_iter().collect();
    for ids in missing.chunks(MAX_IDS) {
        let found = reader.find_summaries(ids.to_vec()).await?.into_iter();
        summaries.extend(found.map(|summary| (summary.id, Arc::new(summary))));
    }
    Ok(())
}

fn assignment(row: AssignmentRow, summaries: &Summaries) -> Option<Assignment> {
    Some(Assignment {
        action: row.action,
        // None if it was deleted after the row was read, and its assignments with it.
        deployment: Arc::clone(summaries.get(&row.route.deployment)?),
        route: row.route,
        available_at: row.available_at,
    })
}

/// After all assignments that become available at a time.
fn end_of(available_at: Timestamp) -> AssignmentPosition {
    AssignmentPosition {
        available_at,
        route: RouteId(Uuid::max()),
    }
}

/// Assignments read at once.
const PAGE_SIZE: i64 = 1_000;
/// Ids in one statement.
const MAX_IDS: usize = 500;
/// Revisions in one statement: with the largest specs they are about 1 MiB.
const MAX_REVISIONS: usize = 16;
