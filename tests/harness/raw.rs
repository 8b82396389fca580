use std::time::Duration;

use prost::bytes::{Buf as _, BufMut as _};
use tonic::{
    Request, Status, Streaming,
    client::Grpc,
    codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder},
    codegen::http::uri::PathAndQuery,
};

use super::{Api, WAIT_TIMEOUT};

/// Calls without types: whatever bytes, to whatever method.
impl Api {
    /// Gives the bytes of the only reply, or of the first of a stream. `method` is
    /// `package.Service/Method`.
    pub(crate) async fn raw(&self, method: &str, message: Vec<u8>) -> Result<Vec<u8>, Status> {
        let mut replies = self.raw_stream(method, message, Some(WAIT_TIMEOUT)).await?;
        let first = replies.message().await?;
        first.ok_or_else(|| Status::unknown("the stream ended without a reply"))
    }

    /// Begins a call, and takes nothing of its reply before it is polled.
    pub(crate) async fn raw_stream(
        &self,
        method: &str,
        message: Vec<u8>,
        deadline: Option<Duration>,
    ) -> Result<Streaming<Vec<u8>>, Status> {
        let mut client = Grpc::new(self.channel());
        client.ready().await.expect("the server is there");
        let path = PathAndQuery::try_from(format!("/{method}")).expect("a path");
        let mut request = Request::new(message);
        if let Some(deadline) = deadline {
            request.set_timeout(deadline);
        }
        let replies = client.server_streaming(request, path, Bytes).await?;
        Ok(replies.into_inner())
    }
}

/// Bytes as they are.
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put_slice(&item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; buffer.remaining()];
        buffer.copy_to_slice(&mut item);
        Ok(Some(item))
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}
