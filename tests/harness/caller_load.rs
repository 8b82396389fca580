use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{task::JoinHandle, time::sleep};
use tonic::{Code, Status};
use uuid::Uuid;
use viridian_proto::v1::CreateDeploymentRequest;

use super::{Api, eventually, request::named, within};

/// Callers of one server that create deployments, one after the other. A call that is refused for
/// something that passes is made again with the same `request_id`.
pub(crate) struct CallerLoad {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    callers: Vec<JoinHandle<Vec<String>>>,
}

impl CallerLoad {
    pub(crate) fn start(api: &Api, callers: usize) -> Self {
        let stop = Arc::<AtomicBool>::default();
        let answered = Arc::<AtomicUsize>::default();
        let callers = (0..callers).map(|_| {
            let (api, stop, answered) = (api.clone(), Arc::clone(&stop), Arc::clone(&answered));
            tokio::spawn(async move {
                let mut ids = Vec::new();
                while let Some(id) = create(&api, &stop).await {
                    ids.push(id);
                    answered.fetch_add(1, Ordering::Relaxed);
                }
                ids
            })
        });
        Self {
            callers: callers.collect(),
            stop,
            answered,
        }
    }

    /// How many calls were acknowledged.
    pub(crate) fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Waits until a call has gone through that began after this one.
    pub(crate) async fn until_one_more(&self) {
        // Each caller may have one under way; the next one begins later.
        let before = self.answered();
        eventually("a call that goes through", async || {
            (self.answered() > before + self.callers.len()).then_some(())
        })
        .await;
    }

    /// Returns the ids of what was acknowledged.
    pub(crate) async fn stop(self) -> Vec<String> {
        self.stop.store(true, Ordering::Relaxed);
        let mut ids = Vec::new();
        for caller in self.callers {
            ids.extend(caller.await.expect("it does not panic"));
        }
        ids
    }
}

/// None if it is stopped before it has an answer.
async fn create(api: &Api, stop: &AtomicBool) -> Option<String> {
    let request = CreateDeploymentRequest {
        request_id: Uuid::now_v7().to_string(),
        ..named()
    };
    let answer = async {
        while !stop.load(Ordering::Relaxed) {
            match api.create(request.clone()).await {
                Ok(created) => return Some(created.id),
                Err(refusal) => assert!(is_passing(&refusal), "{refusal:?}"),
            }
            sleep(PAUSE).await;
        }
        None
    };
    within("a deployment", answer).await
}

/// Whether a call is refused for something that passes: it may be made again.
pub(crate) fn is_passing(refusal: &Status) -> bool {
    matches!(
        refusal.code(),
        Code::Unavailable | Code::Aborted | Code::ResourceExhausted | Code::DeadlineExceeded
    )
}

/// Between two attempts of a call.
const PAUSE: Duration = Duration::from_millis(20);
