//! `ListRoutes` and `WatchRoutes` of `RouteService`.

use std::pin::{Pin, pin};

use tokio_stream::Stream;
use tonic::Status;
use viridian_feeds::{RouteUpdate, RouteWatch, WatchError};
use viridian_proto::v1::{self, watch_routes_response::Payload};
use viridian_store::GroupRouteFilter;
use viridian_strategy::RouteStatus;

use crate::{
    convert::{
        Violations,
        deployment::parse_resource_group,
        route::{group_route, parse_status_filter},
    },
    error::{bad_field, resume_token_expired, slow_consumer, store},
    paging::PageRequest,
    resume::{RouteQuery, parse_route_cursor, route_cursor_token},
    scope::Scope,
    services::pacing::{StreamPacer, StreamTurn},
    token::{TokenRefusal, digest},
};

pub(crate) type RouteStream =
    Pin<Box<dyn Stream<Item = Result<v1::WatchRoutesResponse, Status>> + Send>>;

/// `ListRoutes`.
pub(super) async fn list(
    scope: &Scope,
    message: v1::RouteServiceListRoutesRequest,
) -> Result<v1::RouteServiceListRoutesResponse, Status> {
    let mut violations = Violations::default();
    let filter = parse_filter(
        scope,
        message.resource_group,
        &message.statuses,
        &mut violations,
    );
    let query = query("group routes", &filter);
    let page = PageRequest::parse(
        message.page_size,
        &message.page_token,
        &query.each_ref().map(String::as_str),
        scope.seal(),
        &mut violations,
    );
    violations.finish()?;
    scope.check_resource_group(&filter.resource_group)?;
    let mut page = page.builder();
    while let Some((after, limit)) = page.next_chunk() {
        let _share = scope.share().await?;
        let database = scope.database();
        let found = database.list_group_routes(filter.clone(), after, limit);
        let found = found.await.map_err(|error| store(&error))?;
        let rows = found.into_iter();
        page.extend_with(rows.map(|(position, it)| (position, it.as_ref().map(group_route))));
    }
    let (routes, next_page_token) = page.finish();
    Ok(v1::RouteServiceListRoutesResponse {
        routes,
        next_page_token,
    })
}

/// `WatchRoutes`.
pub(super) async fn watch(
    scope: &Scope,
    message: v1::WatchRoutesRequest,
) -> Result<RouteStream, Status> {
    let mut violations = Violations::default();
    let filter = parse_filter(
        scope,
        message.resource_group,
        &message.statuses,
        &mut violations,
    );
    let query = RouteQuery::of(&filter);
    let token = &message.resume_token;
    let parsed = (!token.is_empty()).then(|| parse_route_cursor(token, query, scope.seal()));
    let parsed = parsed.transpose();
    if let Err(why) = parsed {
        violations.add("resume_token", why);
    }
    violations.finish()?;
    scope.check_resource_group(&filter.resource_group)?;
    let cursor = match parsed.ok().flatten() {
        // Routes of a project that is the caller's since would never come.
        Some(given) if given.query.projects != query.projects => {
            return Err(resume_token_expired());
        }
        given => given.map(|given| given.cursor),
    };
    let watch = scope.feeds().routes().watch(filter, cursor).await;
    let watch = watch.map_err(status)?;
    Ok(Box::pin(stream(scope.clone(), watch, query)))
}

/// Which routes: those that are not over, unless statuses are named.
fn parse_filter(
    scope: &Scope,
    resource_group: String,
    statuses: &[i32],
    violations: &mut Violations,
) -> GroupRouteFilter {
    let mut statuses = parse_status_filter(statuses, violations);
    if statuses.is_empty() {
        statuses = NOT_OVER.to_vec();
    }
    // The same statuses in another order are the same question.
    statuses.sort();
    GroupRouteFilter {
        resource_group: parse_resource_group(resource_group, violations),
        projects: scope.projects().clone(),
        statuses,
        or_moved_since: None,
        deployments: None,
    }
}

/// All that must not change from page to page, or from watch to watch.
fn query(what: &str, filter: &GroupRouteFilter) -> [String; 3] {
    let statuses = format!("{:?}", filter.statuses);
    [what.to_owned(), filter.resource_group.clone(), statuses]
}

impl RouteQuery {
    fn of(filter: &GroupRouteFilter) -> Self {
        let routes = query("watch routes", filter);
        let projects = format!("{:?}", filter.projects);
        Self {
            routes: digest(&routes.each_ref().map(String::as_str)),
            projects: digest(&[&projects]),
        }
    }
}

fn stream(
    scope: Scope,
    mut watch: RouteWatch,
    query: RouteQuery,
) -> impl Stream<Item = Result<v1::WatchRoutesResponse, Status>> {
    async_stream::try_stream! {
        let seal = scope.seal().clone();
        let mut pacer = StreamPacer::new(scope);
        loop {
            // The block ends the borrow of the watch, and the future outlives the heartbeats in it.
            let updates = {
                let mut next = pin!(watch.next());
                loop {
                    match pacer.next(next.as_mut()).await? {
                        StreamTurn::Ready(updates) => break updates.map_err(status)?,
                        StreamTurn::Heartbeat(time) => yield heartbeat(time),
                    }
                }
            };
            for update in updates {
                yield response(match update {
                    RouteUpdate::Route(route) => Payload::Route(group_route(&route)),
                    RouteUpdate::Progress(cursor) => Payload::Progress(v1::RouteProgress {
                        resume_token: route_cursor_token(cursor, query, &seal),
                    }),
                });
                pacer.note_sent();
            }
        }
    }
}

fn heartbeat(time: prost_types::Timestamp) -> v1::WatchRoutesResponse {
    response(Payload::Heartbeat(v1::RouteHeartbeat { time: Some(time) }))
}

fn response(payload: Payload) -> v1::WatchRoutesResponse {
    v1::WatchRoutesResponse {
        payload: Some(payload),
    }
}

/// A watch that ended, as a status.
fn status(error: WatchError) -> Status {
    match error {
        WatchError::UnknownPosition => bad_field("resume_token", TokenRefusal::OtherLog.message()),
        WatchError::Expired => resume_token_expired(),
        WatchError::TooSlow => slow_consumer(),
        WatchError::Store(error) => store(&error),
    }
}

const NOT_OVER: [RouteStatus; 3] = [
    RouteStatus::Provisioning,
    RouteStatus::Running,
    RouteStatus::Terminating,
];
