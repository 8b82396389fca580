use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::{RngExt as _, rngs::StdRng};
use tonic::Status;

use super::Api;

/// Where servers can be reached, as a load balancer knows it: some of them may be
/// away by now.
#[derive(Clone, Default)]
pub(crate) struct ServerUrls(Arc<Mutex<Vec<String>>>);

impl ServerUrls {
    pub(crate) fn set(&self, urls: Vec<String>) {
        *self.lock() = urls;
    }

    /// Connects to one of them.
    pub(crate) async fn any(&self, rng: &mut StdRng) -> Result<Api, Status> {
        self.any_within(rng, WAIT_TIMEOUT).await
    }

    /// The same of a client that waits less.
    pub(crate) async fn any_within(
        &self,
        rng: &mut StdRng,
        patience: Duration,
    ) -> Result<Api, Status> {
        let url = {
            let urls = self.lock();
            match urls.len() {
                0 => return Err(Status::unavailable("no server is there")),
                count => urls[rng.random_range(0..count)].clone(),
            }
        };
        Api::try_connect_within(&url, patience).await
    }

    fn lock(&self) -> MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For how long a client waits for a server that says nothing: more than a server
/// waits for its database.
const WAIT_TIMEOUT: Duration = Duration::from_secs(6);
