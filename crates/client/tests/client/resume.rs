//! Watches across lost connections.

use tonic::{Code, Status};
use viridian_client::{CallError, DeploymentWatcher, ReconnectPolicy, WatchUpdate};
use viridian_proto::v1::{DeploymentEvent, DeploymentEventKind};

use crate::{
    scripted_server::{ScriptedServer, ScriptedStream, refusal},
    test_server::{Operator, TestServer},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_goes_on_after_a_restart_without_gap_or_repeat() {
    let mut server = TestServer::start().await;
    let mut operator = Operator::connect(&server.target()).await;
    let created = operator.create("cart", 0, None).await;
    let policy = ReconnectPolicy::TRANSIENT;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    let mut sequences = vec![next_event(&mut watch).await];
    operator.relabel("shop/cart", "before").await;
    sequences.push(next_event(&mut watch).await);

    // What happens while the watch has no connection must reach it too.
    server.stop().await;
    let error = next_disconnection(&mut watch).await;
    assert!(error.is_transient(), "{error}");
    let (other, mut elsewhere) = server.start_elsewhere().await;
    elsewhere.relabel("shop/cart", "meanwhile").await;
    elsewhere.relabel("shop/cart", "and-again").await;
    other.shutdown().await;
    server.start_again().await;
    let mut operator = Operator::connect(&server.target()).await;
    let last = operator.relabel("shop/cart", "after").await;

    while sequences.last() != Some(&last) {
        sequences.push(next_event(&mut watch).await);
    }
    let expected: Vec<_> = (created.sequence..=last).collect();
    assert_eq!(sequences, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_token_goes_on_in_another_watch() {
    let server = TestServer::start().await;
    let mut operator = Operator::connect(&server.target()).await;
    operator.create("cart", 0, None).await;
    let policy = ReconnectPolicy::TRANSIENT;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    assert_eq!(watch.resume_token(), "");
    next_event(&mut watch).await;
    let request = viridian_proto::v1::WatchDeploymentsRequest {
        resume_token: watch.resume_token().to_owned(),
        ..Default::default()
    };
    drop(watch);
    let missed = operator.relabel("shop/cart", "meanwhile").await;
    let mut watch = DeploymentWatcher::deployments(server.target(), request, policy);
    assert_eq!(next_event(&mut watch).await, missed);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_was_too_slow_goes_on_after_its_last_event() {
    let server = ScriptedServer::start([
        ScriptedStream {
            tokens: vec!["a", "b"],
            end: refusal(Code::ResourceExhausted, "SLOW_CONSUMER"),
        },
        ScriptedStream {
            tokens: vec!["c"],
            end: Status::unavailable("the server stops"),
        },
        ScriptedStream {
            tokens: vec!["d"],
            end: refusal(Code::PermissionDenied, "FORBIDDEN"),
        },
    ])
    .await;
    let policy = ReconnectPolicy::TRANSIENT;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    let (tokens, error) = until_failure(&mut watch).await;
    assert_eq!(tokens, ["a", "b", "c", "d"]);
    assert_eq!(server.requested_tokens(), ["", "b", "c"]);
    assert_eq!(error.reason().as_deref(), Some("FORBIDDEN"));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_begins_anew_and_says_so() {
    let server = ScriptedServer::start([
        ScriptedStream {
            tokens: vec!["a"],
            end: Status::unavailable("the server stops"),
        },
        ScriptedStream {
            tokens: vec![],
            end: refusal(Code::OutOfRange, "RESUME_TOKEN_EXPIRED"),
        },
        ScriptedStream {
            tokens: vec!["fresh"],
            end: refusal(Code::NotFound, "DEPLOYMENT_NOT_FOUND"),
        },
    ])
    .await;
    let policy = ReconnectPolicy::TRANSIENT;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    let mut updates = Vec::new();
    let error = loop {
        match watch.next().await {
            Ok(WatchUpdate::Message(event)) => updates.push(event.resume_token),
            Ok(WatchUpdate::Restarted { error }) => {
                updates.push(error.reason().expect("a reason"));
            }
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert_eq!(updates, ["a", "RESUME_TOKEN_EXPIRED", "fresh"]);
    assert_eq!(server.requested_tokens(), ["", "a", ""]);
    assert_eq!(error.code(), Code::NotFound);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_expired_before_its_first_event_begins_anew_once() {
    let expired = || ScriptedStream {
        tokens: vec![],
        end: refusal(Code::OutOfRange, "RESUME_TOKEN_EXPIRED"),
    };
    let server = ScriptedServer::start([expired(), expired()]).await;
    let request = viridian_proto::v1::WatchDeploymentsRequest {
        resume_token: "old".to_owned(),
        ..Default::default()
    };
    let policy = ReconnectPolicy::TRANSIENT;
    let mut watch = DeploymentWatcher::deployments(server.target(), request, policy);
    let (tokens, error) = until_failure(&mut watch).await;
    assert!(tokens.is_empty(), "{tokens:?}");
    assert_eq!(error.reason().as_deref(), Some("RESUME_TOKEN_EXPIRED"));
    assert_eq!(server.requested_tokens(), ["old", ""]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_before_the_first_message_is_final_for_those_who_want_it() {
    let end = Status::unavailable("the server stops");
    let server = ScriptedServer::start([ScriptedStream {
        tokens: vec![],
        end,
    }])
    .await;
    let policy = ReconnectPolicy::AFTER_FIRST_MESSAGE;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    let (_, error) = until_failure(&mut watch).await;
    assert_eq!(error.code(), Code::Unavailable);
    assert_eq!(server.requested_tokens().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_that_never_gives_up_survives_refusals() {
    let refused = || ScriptedStream {
        tokens: vec![],
        end: refusal(Code::Unauthenticated, "UNKNOWN_TOKEN"),
    };
    let last = ScriptedStream {
        tokens: vec!["a"],
        end: Status::unavailable("the server stops"),
    };
    let server = ScriptedServer::start([refused(), refused(), last]).await;
    let policy = ReconnectPolicy::FOREVER;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    let mut refusals = 0;
    let token = loop {
        match watch.next().await.expect("it survives everything") {
            WatchUpdate::Disconnected { error, .. } => {
                assert_eq!(error.code(), Code::Unauthenticated);
                refusals += 1;
            }
            WatchUpdate::Message(event) => break event.resume_token,
            _ => {}
        }
    };
    assert_eq!((refusals, token.as_str()), (2, "a"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watch_whose_caller_drops_each_wait_still_connects() {
    let server = TestServer::start().await;
    let mut operator = Operator::connect(&server.target()).await;
    let created = operator.create("cart", 0, None).await;
    let policy = ReconnectPolicy::TRANSIENT;
    let mut watch = DeploymentWatcher::of(server.target(), "shop/cart", policy);
    let sequence = loop {
        // Polls once and drops the future, as a select! with a busy branch does.
        let update = tokio::select! {
            biased;
            update = watch.next() => Some(update.expect("it does not fail")),
            () = tokio::task::yield_now() => None,
        };
        if let Some(WatchUpdate::Message(event)) = update {
            break event.deployment.expect("one").sequence;
        }
    };
    assert_eq!(sequence, created.sequence);
}

/// The sequence of the next event.
async fn next_event(watch: &mut DeploymentWatcher) -> i64 {
    loop {
        if let WatchUpdate::Message(event) = watch.next().await.expect("it goes on") {
            assert_ne!(event.kind(), DeploymentEventKind::Unspecified);
            return event.deployment.expect("one").sequence;
        }
    }
}

async fn next_disconnection(watch: &mut DeploymentWatcher) -> CallError {
    loop {
        if let WatchUpdate::Disconnected { error, .. } = watch.next().await.expect("it goes on") {
            return error;
        }
    }
}

/// The tokens of the events, and the failure that ended the watch.
async fn until_failure(watch: &mut DeploymentWatcher) -> (Vec<String>, CallError) {
    let mut tokens = Vec::new();
    loop {
        match watch.next().await {
            Ok(WatchUpdate::Message(DeploymentEvent { resume_token, .. })) => {
                tokens.push(resume_token);
            }
            Ok(_) => {}
            Err(error) => return (tokens, error),
        }
    }
}
