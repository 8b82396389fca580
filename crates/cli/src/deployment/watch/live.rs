//! The loop of the live view: events, keys and the clock go in, pictures come out.

use std::{future::pending, pin::Pin, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        watch,
    },
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use viridian_client::{ReconnectPolicy, WatchUpdate};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, HistoryEntry, ListRoutesRequest, Route};

use super::{
    WatchArgs, WatchEnd,
    act::{ActionReply, act},
    model::{ActionNotice, KeyEffect, ServerClock, WatchModel},
    render::render,
};
use crate::{
    client,
    deployment::{
        DeploymentError, Session, read,
        session::{Client, write},
        show::{self, OutputStyle, RevisionNames},
    },
    enum_names::qualified_name,
    screen::{self, TerminalScreen},
    signals::StopSignals,
};

/// Something to see.
enum LiveUpdate {
    Deployment(Box<Deployment>),
    Details(Box<RolloutDetails>),
    /// Why nothing is heard of the server; none when it is heard again.
    Contact(Option<String>),
    Clock(ServerClock),
}

/// What belongs to a deployment.
struct RolloutDetails {
    routes: Vec<Route>,
    history: Vec<HistoryEntry>,
    revisions: RevisionNames,
}

type ActionFuture<'a> = Pin<Box<dyn Future<Output = Result<ActionReply, DeploymentError>> + 'a>>;

/// Shows it until someone leaves, or it has come to what is waited for. None when
/// the time is over.
pub(super) async fn run(
    args: &WatchArgs,
    session: &Session,
) -> Result<Option<WatchEnd>, DeploymentError> {
    let mut client = session.connect().await?;
    let model = look(&mut client, &args.deployment).await?;
    let name = qualified_name(&model.deployment);
    let mut live = LiveWatch {
        args,
        session,
        model,
        screen: TerminalScreen::open().map_err(DeploymentError::Draw)?,
    };
    let ended = live.follow().await;
    // Before anything is written, the terminal is as it was.
    let LiveWatch { model, screen, .. } = live;
    drop(screen);
    let ended = ended.map_err(|error| error.about(Some(name)))?;
    // What was seen last stays to be read.
    write(&show::one(
        &model.deployment,
        &model.revisions,
        OutputStyle::of_stdout(),
    ))?;
    Ok(ended)
}

struct LiveWatch<'a> {
    args: &'a WatchArgs,
    session: &'a Session,
    model: WatchModel,
    screen: TerminalScreen,
}

impl LiveWatch<'_> {
    async fn follow(&mut self) -> Result<Option<WatchEnd>, DeploymentError> {
        let (tell, mut news) = unbounded_channel();
        let (wanted, wants) = watch::channel(());
        let session = self.session;
        let id = self.model.deployment.id.clone();
        let mut following = Box::pin(follow_events(session, &id, tell.clone()));
        let mut loading = Box::pin(load_details(session, &id, wants, tell));
        let mut acting: Option<ActionFuture<'_>> = None;
        let mut signals = StopSignals::listen_in_terminal().map_err(DeploymentError::Runtime)?;
        let mut keys = screen::key_presses();
        let mut clock = interval(TICK);
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let limit = self.args.timeout;
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let model = &self.model;
            self.screen
                .draw(|frame| render(frame, model, model.now(Timestamp::now())))
                .map_err(DeploymentError::Draw)?;
            tokio::select! {
                Some(news) = news.recv() => {
                    if let Some(end) = self.hear(news, &wanted) {
                        return Ok(Some(end));
                    }
                }
                error = &mut following => return Err(error),
                error = &mut loading => return Err(error),
                Some(key) = keys.recv() => match self.model.press(key) {
                    KeyEffect::None => {}
                    KeyEffect::Leave => return Ok(Some(WatchEnd::Left)),
                    KeyEffect::Act(action) => acting = Some(Box::pin(act(session, action))),
                },
                outcome = maybe(&mut acting) => {
                    acting = None;
                    self.acted(outcome);
                }
                stop = signals.next() => return Err(DeploymentError::Stopped(stop)),
                () = until(limit) => return Ok(None),
                _ = clock.tick() => {}
            }
        }
    }

    fn hear(&mut self, news: LiveUpdate, wanted: &watch::Sender<()>) -> Option<WatchEnd> {
        match news {
            LiveUpdate::Deployment(deployment) => {
                if let Some(time) = deployment.update_time {
                    self.model
                        .compare(ServerClock::IsPast(time), Timestamp::now());
                }
                self.model.see(*deployment);
                wanted.send_replace(());
                let deployment = &self.model.deployment;
                if self.args.until.is_some_and(|it| it.is_reached(deployment)) {
                    return Some(WatchEnd::Reached);
                }
                if deployment.lifecycle() == DeploymentLifecycle::Destroyed {
                    return Some(WatchEnd::Destroyed);
                }
            }
            LiveUpdate::Details(details) => {
                self.model.routes = details.routes;
                self.model.history = details.history;
                self.model.revisions = details.revisions;
            }
            LiveUpdate::Contact(lost) => self.model.lost = lost,
            LiveUpdate::Clock(clock) => self.model.compare(clock, Timestamp::now()),
        }
        None
    }

    fn acted(&mut self, outcome: Result<ActionReply, DeploymentError>) {
        let name = qualified_name(&self.model.deployment);
        let notice = match outcome {
            Ok((deployment, done)) => {
                // The next key is about what this one has made of it.
                if let Some(deployment) = deployment {
                    self.model.see(deployment);
                }
                ActionNotice::Done(done)
            }
            Err(error) => ActionNotice::Failed(error.about(Some(name)).to_string()),
        };
        self.model.acted(notice);
    }
}

/// Sends each change. Ends when the watch does.
async fn follow_events(
    session: &Session,
    id: &str,
    tell: UnboundedSender<LiveUpdate>,
) -> DeploymentError {
    let mut watch = match session.watch(id, ReconnectPolicy::TRANSIENT) {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    loop {
        let update = match watch.next().await {
            Ok(WatchUpdate::Connected) => LiveUpdate::Contact(None),
            Ok(WatchUpdate::Disconnected { error, .. }) => {
                LiveUpdate::Contact(Some(client::describe(&error)))
            }
            Ok(WatchUpdate::Heartbeat(Some(time))) => LiveUpdate::Clock(ServerClock::Is(time)),
            Ok(WatchUpdate::Message(event)) => match event.deployment {
                Some(deployment) => LiveUpdate::Deployment(Box::new(deployment)),
                None => return DeploymentError::EmptyReply,
            },
            // After a gap comes the present state, which is all that is shown.
            Ok(_) => continue,
            Err(error) => return error.into(),
        };
        // It fails only when the view is being closed.
        let _ = tell.send(update);
    }
}

/// Reads the rest whenever it is wanted, and not more often than anyone can see.
/// What fails is tried again with the next change, or after a while.
async fn load_details(
    session: &Session,
    id: &str,
    mut wanted: watch::Receiver<()>,
    tell: UnboundedSender<LiveUpdate>,
) -> DeploymentError {
    let mut revisions = RevisionNames::default();
    loop {
        let details = async {
            let mut client = session.connect().await?;
            details(&mut client, id, &mut revisions).await
        };
        let pause = match details.await {
            Ok(details) => {
                // Nobody hears it who has left.
                let _ = tell.send(LiveUpdate::Details(Box::new(details)));
                SHORTEST
            }
            Err(_) => AGAIN,
        };
        sleep_until(Instant::now() + pause).await;
        // Routes end and health is checked without a change that is told, seldom.
        let changed = tokio::time::timeout(LONGEST, wanted.changed()).await;
        if let Ok(Err(_)) = changed {
            return pending().await;
        }
    }
}

async fn look(client: &mut Client, reference: &str) -> Result<WatchModel, DeploymentError> {
    let deployment = read::deployment(client, reference).await?;
    let mut revisions = RevisionNames::default();
    let details = details(client, &deployment.id, &mut revisions).await?;
    Ok(WatchModel {
        deployment,
        routes: details.routes,
        history: details.history,
        revisions: details.revisions,
        ..WatchModel::default()
    })
}

/// The revisions are read again only when one is not known.
async fn details(
    client: &mut Client,
    id: &str,
    revisions: &mut RevisionNames,
) -> Result<RolloutDetails, DeploymentError> {
    let request = ListRoutesRequest {
        deployment: id.to_owned(),
        ..ListRoutesRequest::default()
    };
    let routes = read::routes(client, request).await?;
    let history = read::history(client, id, HISTORY).await?;
    let mut ids = routes
        .iter()
        .map(|it| &it.revision_id)
        .chain(history.iter().map(|it| &it.revision_id));
    if ids.any(|id| !revisions.has(id)) {
        *revisions = read::names(client, id).await?;
    }
    Ok(RolloutDetails {
        routes,
        history,
        revisions: revisions.clone(),
    })
}

async fn maybe(acting: &mut Option<ActionFuture<'_>>) -> Result<ActionReply, DeploymentError> {
    match acting {
        Some(acting) => acting.await,
        None => pending().await,
    }
}

async fn until(limit: Option<Instant>) {
    match limit {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// How often clocks are drawn anew.
const TICK: Duration = Duration::from_millis(250);

/// How many entries of the history are read.
const HISTORY: i32 = 50;

const SHORTEST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
const AGAIN: Duration = Duration::from_secs(1);
