//! The Rust client of Viridian.
//!
//! - [`ServerTarget`] says which server to call, whom to trust and as whom to
//!   call. It gives an [`AuthChannel`], on which every generated client of
//!   `viridian-proto` works.
//! - [`unary`] awaits the reply to one call and returns a [`CallError`] that
//!   separates "the server never saw it", "it may have been executed" and "the
//!   server refused it".
//! - [`DeploymentWatcher`], [`AssignmentWatcher`] and [`TrafficWatcher`] follow the
//!   server across lost connections and restarts.
//! - [`wait_until`] follows one deployment to a [`WaitGoal`].
//! - [`Backoff`] is the delay between attempts, for every caller of a server.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use viridian_client::{DeploymentWatcher, ReconnectPolicy, ServerTarget, WatchUpdate};
//!
//! let target = ServerTarget::new("http://127.0.0.1:50051")?;
//! let mut watch = DeploymentWatcher::of(target, "shop/cart", ReconnectPolicy::TRANSIENT);
//! loop {
//!     if let WatchUpdate::Message(event) = watch.next().await? {
//!         println!("{:?}", event.kind());
//!     }
//! }
//! # }
//! ```

mod backoff;
mod call;
mod connect;
mod credentials;
mod goal;
mod progress;
mod target;
mod tls;
mod tracker;
mod wait;
mod watch;

pub use self::{
    backoff::Backoff,
    call::{CALL_TIMEOUT, CallError, unary, unary_within},
    connect::{AuthChannel, ConnectError, ConnectErrorKind},
    credentials::{CallCredentials, MalformedToken},
    goal::WaitGoal,
    progress::{MissReason, NeededAction, WaitProgress, needed_action},
    target::{ServerTarget, UrlError, normalize_url},
    tls::{ClientIdentityFiles, ClientTlsError, ClientTlsFiles},
    tracker::WaitTracker,
    wait::{WaitError, WaitOutcome, wait_until},
    watch::{
        AssignmentWatcher, ChannelSource, DeploymentWatcher, ReconnectPolicy, ResumableWatch,
        TrafficWatcher, WatchAssignments, WatchDeployments, WatchTraffic, WatchUpdate,
    },
};
