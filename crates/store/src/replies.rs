//! Replies: the first one to each request id of a project, so that a repeat is harmless.

use diesel::prelude::*;
use diesel_async::RunQueryDsl;
use uuid::Uuid;
use viridian_engine::{Column, Write, load, with_conn};
use viridian_strategy::{DeploymentId, Timestamp};

use crate::{
    connection::StoreConnection,
    documents::{Reply, deployment_of_reply, deployments_of_reply},
    error::StoreError,
    record::{Request, RequestId},
    schema::{deployments, replies},
    types::{Json, JsonText, Sql},
};

/// Whose request ids a call's is one of: each project has its own.
#[derive(Clone, Copy, Debug)]
pub(crate) enum RequestNamespace<'a> {
    /// Those of a project.
    Project(&'a str),
    /// Those of the project that a deployment belongs to.
    ProjectOf(DeploymentId),
    /// Those of the first by name of the projects that deployments belong to.
    FirstProjectOf(&'a [DeploymentId]),
}

impl From<DeploymentId> for RequestNamespace<'_> {
    fn from(id: DeploymentId) -> Self {
        Self::ProjectOf(id)
    }
}

impl RequestNamespace<'_> {
    /// Returns the deployment, of a call on one that exists.
    pub(crate) fn deployment(self) -> Option<DeploymentId> {
        match self {
            Self::Project(_) | Self::FirstProjectOf(_) => None,
            Self::ProjectOf(id) => Some(id),
        }
    }
}

/// What is known of a request id.
pub(crate) enum StoredReply<T> {
    /// It came with the same body, and this was the reply.
    Same(T),
    /// It came with another body.
    Other,
}

impl StoreConnection {
    /// Finds the deployment in the reply to a request id of a project. That to a set has none.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_replied_deployment(
        &mut self,
        project: &str,
        request: &Request,
    ) -> Result<Option<DeploymentId>, StoreError> {
        let reply = self.find_reply_text(project, request).await?;
        let found = reply.map(|text| deployment_of_reply(&text)).transpose();
        Ok(found.map_err(broken)?.flatten())
    }

    /// Finds the deployments in the reply to a request id of a set, in the order of its request.
    ///
    /// # Errors
    ///
    /// When the database fails.
    pub async fn find_replied_set(
        &mut self,
        project: &str,
        request: &Request,
    ) -> Result<Option<Vec<DeploymentId>>, StoreError> {
        let reply = self.find_reply_text(project, request).await?;
        let found = reply.map(|text| deployments_of_reply(&text)).transpose();
        Ok(found.map_err(broken)?.flatten())
    }

    async fn find_reply_text(
        &mut self,
        project: &str,
        request: &Request,
    ) -> Result<Option<String>, StoreError> {
        let reply: Option<JsonText> = with_conn!(self, |c| replies::table
            .find((Sql(request.id), project))
            .select(replies::reply)
            .get_result(c))
        .optional()?;
        Ok(reply.map(|JsonText(text)| text))
    }

    /// Finds the reply to an earlier request of the same id, in the same project.
    pub(crate) async fn find_reply<T: Reply>(
        &mut self,
        namespace: RequestNamespace<'_>,
        request: &Request,
    ) -> Result<Option<StoredReply<T>>, StoreError> {
        let columns = (replies::method, replies::fingerprint, replies::reply);
        let row: Option<(String, Vec<u8>, JsonText)> = match namespace {
            RequestNamespace::Project(project) => with_conn!(self, |c| replies::table
                .find((Sql(request.id), project))
                .select(columns)
                .get_result(c)),
            RequestNamespace::FirstProjectOf(ids) => {
                let projects = self.find_projects(ids.to_vec()).await?.into_iter();
                let Some(project) = projects.map(|(_, project)| project).min() else {
                    return Ok(None);
                };
                with_conn!(self, |c| replies::table
                    .find((Sql(request.id), project.as_str()))
                    .select(columns)
                    .get_result(c))
            }
            RequestNamespace::ProjectOf(id) => with_conn!(self, |c| replies::table
                .inner_join(deployments::table.on(deployments::project.eq(replies::project)))
                .filter(replies::request_id.eq(Sql(request.id)))
                .filter(deployments::id.eq(Sql(id)))
                .select(columns)
                .get_result(c)),
        }
        .optional()?;
        let Some((method, fingerprint, JsonText(reply))) = row else {
            return Ok(None);
        };
        // The first reply would answer another question, so a reused id is the caller's error.
        if method != request.method || fingerprint != request.fingerprint {
            return Ok(Some(StoredReply::Other));
        }
        let reply = Json::parse(&reply).map_err(broken)?;
        Ok(Some(StoredReply::Same(reply)))
    }

    /// Lists the request ids of replies from before a time, in their order, after one.
    pub(crate) async fn list_old_replies(
        &mut self,
        before: Timestamp,
        after: Option<RequestId>,
        limit: i64,
    ) -> Result<Vec<RequestId>, StoreError> {
        let after = after.unwrap_or(RequestId(Uuid::nil()));
        let ids: Vec<Sql<RequestId>> = load!(
            self,
            replies::table
                .filter(replies::request_id.gt(Sql(after)))
                .filter(replies::created_at.lt(Sql(before)))
                .order(replies::request_id)
                .limit(limit)
                .select(replies::request_id)
                .distinct()
        )?;
        Ok(ids.into_iter().map(|Sql(id)| id).collect())
    }

    /// Deletes replies from before a time; gives how many there were.
    pub(crate) async fn delete_replies(
        &mut self,
        ids: Vec<RequestId>,
        before: Timestamp,
    ) -> Result<usize, StoreError> {
        let ids: Vec<_> = ids.into_iter().map(Sql).collect();
        Ok(with_conn!(self, |c| diesel::delete(replies::table)
            .filter(replies::request_id.eq_any(ids))
            // Another project may have used the same id since.
            .filter(replies::created_at.lt(Sql(before)))
            .execute(c))?)
    }
}

/// A reply that is to be stored.
pub(crate) struct NewReply {
    request: Request,
    project: String,
    reply: JsonText,
}

impl NewReply {
    /// None for a call without a request id.
    pub(crate) fn of<T: Reply>(
        request: Option<&Request>,
        reply: &T,
    ) -> Result<Option<Self>, StoreError> {
        let Some(request) = request.cloned() else {
            return Ok(None);
        };
        Ok(Some(Self {
            request,
            project: reply.project().to_owned(),
            reply: JsonText(Json::text(reply).map_err(broken)?),
        }))
    }
}

/// Stores replies. Changes no row when the request id has one already in its project.
pub(crate) fn insert_replies(replies: impl IntoIterator<Item = NewReply>, now: Timestamp) -> Write {
    let (mut ids, mut projects, mut methods) = (Vec::new(), Vec::new(), Vec::new());
    let (mut fingerprints, mut bodies, mut times) = (Vec::new(), Vec::new(), Vec::new());
    for new in replies {
        let NewReply {
            request,
            project,
            reply,
        } = new;
        ids.push(Sql(request.id));
        projects.push(project);
        methods.push(request.method.to_owned());
        fingerprints.push(request.fingerprint);
        bodies.push(reply);
        times.push(Sql(now));
    }
    let columns = vec![
        Column::new(replies::request_id, ids),
        Column::new(replies::method, methods),
        Column::new(replies::fingerprint, fingerprints),
        Column::new(replies::reply, bodies),
        Column::new(replies::created_at, times),
        Column::new(replies::project, projects),
    ];
    // A request id that is used changes no row. The wrong count fails the transaction, and the
    // caller gets the stored reply.
    Write::insert("store reply", "replies", columns).on_conflict("ON CONFLICT DO NOTHING")
}

fn broken(error: serde_json::Error) -> StoreError {
    StoreError::Internal(error.to_string())
}
