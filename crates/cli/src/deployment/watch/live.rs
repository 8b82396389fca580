//! The event loop of the live view: events, keys and the clock change the model, which is
//! then drawn.

use std::{future::pending, pin::Pin, time::Duration};

use jiff::Timestamp;
use tokio::{
    sync::{
        mpsc::{UnboundedSender, unbounded_channel},
        watch,
    },
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};
use viridian_client::{ReconnectPolicy, WaitProgress, WaitTracker, WatchUpdate};
use viridian_proto::v1::{Deployment, DeploymentLifecycle, HistoryEntry, ListRoutesRequest, Route};

use super::{
    WatchArgs, WatchEnd,
    act::{ActionReply, act},
    hint::hint,
    model::{ActionNotice, KeyEffect, ServerClock, WatchModel},
    render::render,
};
use crate::{
    call_error,
    deployment::{
        CliSession, DeploymentError,
        read::{self, DeploymentClient},
        session::write,
        show::{self, OutputStyle, RevisionNames},
    },
    enum_names::qualified_name,
    screen::{self, TerminalScreen},
    signals::StopSignals,
};

/// A change of what is shown.
enum LiveUpdate {
    Deployment(Box<Deployment>),
    Details(Box<RolloutDetails>),
    /// Why the connection is lost. None when it is up again.
    Connection(Option<String>),
    Clock(ServerClock),
}

/// The routes, history and revisions of the deployment.
struct RolloutDetails {
    routes: Vec<Route>,
    history: Vec<HistoryEntry>,
    revisions: RevisionNames,
}

type ActionFuture<'a> = Pin<Box<dyn Future<Output = Result<ActionReply, DeploymentError>> + 'a>>;

/// Shows the live view until the user quits, or the goal of --until is reached. None if the
/// time is over.
pub(super) async fn run(
    args: &WatchArgs,
    session: &CliSession,
) -> Result<Option<WatchEnd>, DeploymentError> {
    let mut client = session.connect().await?;
    // Read before the screen opens: an unknown deployment is an ordinary error.
    let model = read_model(&mut client, &args.deployment).await?;
    let name = qualified_name(&model.deployment);
    let mut live = LiveWatch {
        args,
        session,
        model,
        tracker: args.until.map(|until| WaitTracker::new(until.goal())),
        hint: None,
        screen: TerminalScreen::open().map_err(DeploymentError::Draw)?,
    };
    let ended = live.follow().await;
    // The terminal is restored first: output in full-screen mode would be lost.
    let LiveWatch { model, screen, .. } = live;
    drop(screen);
    let ended = ended.map_err(|error| error.about(Some(name)))?;
    // The last state stays on the terminal.
    write(&show::one(
        &model.deployment,
        &model.revisions,
        OutputStyle::of_stdout(),
    ))?;
    Ok(ended)
}

struct LiveWatch<'a> {
    args: &'a WatchArgs,
    session: &'a CliSession,
    model: WatchModel,
    /// Of --until.
    tracker: Option<WaitTracker>,
    /// What was said last about someone who has to act.
    hint: Option<String>,
    screen: TerminalScreen,
}

impl LiveWatch<'_> {
    async fn follow(&mut self) -> Result<Option<WatchEnd>, DeploymentError> {
        let (sender, mut updates) = unbounded_channel();
        let (changed, changes) = watch::channel(());
        let session = self.session;
        // By id: after a deletion, another deployment may take the name.
        let id = self.model.deployment.id.clone();
        // Both run inside this task and end with it: no request is made after the view is
        // closed.
        let mut following = Box::pin(follow_events(session, &id, sender.clone()));
        let mut loading = Box::pin(load_details(session, &id, changes, sender));
        let mut acting: Option<ActionFuture<'_>> = None;
        let mut signals = StopSignals::listen().map_err(DeploymentError::Runtime)?;
        let mut keys = screen::key_presses();
        let mut clock = interval(REDRAW_INTERVAL);
        // When the process was stopped for a while, there is no burst of the missed redraws.
        clock.set_missed_tick_behavior(MissedTickBehavior::Skip);
        let limit = self.args.timeout;
        // A limit beyond the range of the clock is no limit.
        let limit = limit.and_then(|limit| Instant::now().checked_add(limit));
        loop {
            let model = &self.model;
            let stall = self.tracker.as_ref().and_then(WaitTracker::stalls_at);
            self.screen
                .draw(|frame| render(frame, model, model.now(Timestamp::now())))
                .map_err(DeploymentError::Draw)?;
            tokio::select! {
                Some(update) = updates.recv() => {
                    if let Some(end) = self.apply(update, &changed) {
                        return Ok(Some(end));
                    }
                }
                error = &mut following => return Err(error),
                error = &mut loading => return Err(error),
                Some(key) = keys.recv() => match self.model.press(key) {
                    KeyEffect::None => {}
                    KeyEffect::Quit => return Ok(Some(WatchEnd::Quit)),
                    // No call is replaced by this: while one runs, no key leads to another.
                    KeyEffect::Act(action) => acting = Some(Box::pin(act(session, action))),
                },
                outcome = running(&mut acting) => {
                    acting = None;
                    self.finish_action(outcome);
                }
                stop = signals.next() => return Err(DeploymentError::Stopped(stop)),
                () = reached(limit) => return Ok(None),
                () = reached(stall.map(|(at, _)| at)) => {
                    let last = Box::new(self.model.deployment.clone());
                    return Ok(stall.map(|(_, reason)| WatchEnd::Missed(reason, last)));
                }
                _ = clock.tick() => {}
            }
        }
    }

    fn apply(&mut self, update: LiveUpdate, changed: &watch::Sender<()>) -> Option<WatchEnd> {
        match update {
            LiveUpdate::Deployment(deployment) => {
                if let Some(time) = deployment.update_time {
                    self.model
                        .sync_clock(ServerClock::IsPast(time), Timestamp::now());
                }
                self.model.update(*deployment);
                changed.send_replace(());
                if let Some(end) = self.observe() {
                    return Some(end);
                }
                if self.model.deployment.lifecycle() == DeploymentLifecycle::Destroyed {
                    return Some(WatchEnd::Destroyed);
                }
            }
            LiveUpdate::Details(details) => {
                self.model.routes = details.routes;
                self.model.history = details.history;
                self.model.revisions = details.revisions;
            }
            LiveUpdate::Connection(error) => self.model.connection_error = error,
            LiveUpdate::Clock(clock) => self.model.sync_clock(clock, Timestamp::now()),
        }
        None
    }

    /// Compares the deployment with --until.
    fn observe(&mut self) -> Option<WatchEnd> {
        let deployment = &self.model.deployment;
        match self.tracker.as_mut()?.observe(deployment) {
            WaitProgress::Reached => return Some(WatchEnd::Reached),
            WaitProgress::Missed(reason) => {
                return Some(WatchEnd::Missed(reason, Box::new(deployment.clone())));
            }
            WaitProgress::InProgress | WaitProgress::ActionNeeded(_) => {}
        }
        let goal = self.args.until?.goal();
        let hint = hint(&goal, deployment);
        if hint.is_some() && hint != self.hint {
            self.model.notice = hint.clone().map(ActionNotice::Done);
        }
        self.hint = hint;
        None
    }

    fn finish_action(&mut self, outcome: Result<ActionReply, DeploymentError>) {
        let name = qualified_name(&self.model.deployment);
        let notice = match outcome {
            Ok((deployment, done)) => {
                // The next key must act on the state after this action.
                if let Some(deployment) = deployment {
                    self.model.update(deployment);
                }
                ActionNotice::Done(done)
            }
            Err(error) => ActionNotice::Failed(error.about(Some(name)).to_string()),
        };
        self.model.finish_action(notice);
    }
}

/// Sends each change to the view. Ends when the watch fails for good.
async fn follow_events(
    session: &CliSession,
    id: &str,
    updates: UnboundedSender<LiveUpdate>,
) -> DeploymentError {
    let mut watch = match session.watch(id, ReconnectPolicy::TRANSIENT) {
        Ok(watch) => watch,
        Err(error) => return error,
    };
    loop {
        let update = match watch.next().await {
            Ok(WatchUpdate::Connected) => LiveUpdate::Connection(None),
            Ok(WatchUpdate::Disconnected { error, .. }) => {
                LiveUpdate::Connection(Some(call_error::describe(&error)))
            }
            Ok(WatchUpdate::Heartbeat(Some(time))) => LiveUpdate::Clock(ServerClock::Is(time)),
            Ok(WatchUpdate::Message(event)) => match event.deployment {
                Some(deployment) => LiveUpdate::Deployment(Box::new(deployment)),
                None => return DeploymentError::EmptyReply,
            },
            // After a gap comes the present state, which is all that is shown.
            Ok(_) => continue,
            Err(error) => return DeploymentError::Read(error),
        };
        // Sending fails only after the user has quit.
        let _ = updates.send(update);
    }
}

/// Reads the details after each change, at most once per [`MIN_READ_INTERVAL`]. A failed
/// read is tried again at the next change, or after [`MAX_READ_INTERVAL`].
async fn load_details(
    session: &CliSession,
    id: &str,
    mut changes: watch::Receiver<()>,
    updates: UnboundedSender<LiveUpdate>,
) -> DeploymentError {
    let mut revisions = RevisionNames::default();
    loop {
        let details = async {
            let mut client = session.connect().await?;
            details(&mut client, id, &mut revisions).await
        };
        let pause = match details.await {
            Ok(details) => {
                // Sending fails only after the user has quit.
                let _ = updates.send(LiveUpdate::Details(Box::new(details)));
                MIN_READ_INTERVAL
            }
            // Not shown: the watch says when the connection is lost.
            Err(_) => RETRY_INTERVAL,
        };
        sleep_until(Instant::now() + pause).await;
        // Some changes of routes cause no event of the deployment, like the end of a
        // drained one: the timeout reads those too.
        let changed = tokio::time::timeout(MAX_READ_INTERVAL, changes.changed()).await;
        // The view is closing, and drops this future with it.
        if let Ok(Err(_)) = changed {
            return pending().await;
        }
    }
}

async fn read_model(
    client: &mut DeploymentClient,
    reference: &str,
) -> Result<WatchModel, DeploymentError> {
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

/// Reads the details. The revisions are read only if one of them is unknown.
async fn details(
    client: &mut DeploymentClient,
    id: &str,
    revisions: &mut RevisionNames,
) -> Result<RolloutDetails, DeploymentError> {
    let request = ListRoutesRequest {
        deployment: id.to_owned(),
        ..ListRoutesRequest::default()
    };
    let routes = read::routes(client, request).await?;
    let history = read::history(client, id, MAX_HISTORY).await?;
    let mut ids = routes
        .iter()
        .map(|it| &it.revision_id)
        .chain(history.iter().map(|it| &it.revision_id));
    if ids.any(|id| !revisions.has(id)) {
        *revisions = read::revision_names(client, id).await?;
    }
    Ok(RolloutDetails {
        routes,
        history,
        revisions: revisions.clone(),
    })
}

/// The running action, or never.
async fn running(acting: &mut Option<ActionFuture<'_>>) -> Result<ActionReply, DeploymentError> {
    match acting {
        Some(acting) => acting.await,
        None => pending().await,
    }
}

async fn reached(limit: Option<Instant>) {
    match limit {
        Some(at) => sleep_until(at).await,
        None => pending().await,
    }
}

/// How often ages and countdowns are redrawn.
const REDRAW_INTERVAL: Duration = Duration::from_millis(250);

/// Entries of the history that are read.
const MAX_HISTORY: i32 = 50;

const MIN_READ_INTERVAL: Duration = Duration::from_millis(100);
const MAX_READ_INTERVAL: Duration = Duration::from_secs(5);
const RETRY_INTERVAL: Duration = Duration::from_secs(1);
