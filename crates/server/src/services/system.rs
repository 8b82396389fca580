//! `SystemService`.

use std::{sync::Arc, time::Duration};

use tokio::time::timeout;
use tonic::{Request, Response, Status};
use viridian_proto::v1::{self, system_service_server::SystemService};

use crate::{
    convert::time::timestamp,
    server_info::{COMMIT, ServerInfo, VERSION},
    state::ServerState,
};

/// `SystemService`, of this server.
pub(crate) struct SystemApi {
    pub(crate) state: ServerState,
    pub(crate) info: Arc<ServerInfo>,
}

#[tonic::async_trait]
impl SystemService for SystemApi {
    async fn get_server_info(
        &self,
        request: Request<v1::GetServerInfoRequest>,
    ) -> Result<Response<v1::GetServerInfoResponse>, Status> {
        let (scope, v1::GetServerInfoRequest {}) = self.state.open(request)?;
        // Who asks why nothing works must not wait for the database, which may be why.
        let time = timeout(CLOCK_TIMEOUT, scope.database().now()).await;
        Ok(Response::new(v1::GetServerInfoResponse {
            version: VERSION.to_owned(),
            commit: COMMIT.to_owned(),
            schema: self.info.schema.clone(),
            features: self.info.features.clone(),
            time: time.ok().and_then(Result::ok).map(timestamp),
        }))
    }
}

const CLOCK_TIMEOUT: Duration = Duration::from_secs(1);
