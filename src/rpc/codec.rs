//! The codecs of our services. A request is weighed before it is decoded: a few bytes on the wire can be a
//! thousand in memory. A frame is encoded once, for all who watch, and only copied into each stream:
//! copying beats handing on the shared bytes for bodies below some 32 KiB, and most are much smaller.
//!
//! It must never look into a frame: whoever makes one vouches for its bytes.

use std::marker::PhantomData;

use bytes::{Buf, BufMut, Bytes};
use prost::{Message, Name};
use tonic::Status;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic_prost::ProstEncoder;

use super::status::too_heavy;
use super::weight;
use crate::proto::v1::WatchResponse;

/// A `WatchResponse` in its wire form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame(pub Bytes);

impl From<&WatchResponse> for Frame {
    fn from(response: &WatchResponse) -> Self {
        Self(response.encode_to_vec().into())
    }
}

/// Weighs and decodes requests of type `R` and writes replies of type `T` as prost does. For servers only.
#[derive(Clone, Copy, Debug)]
pub struct WeighedCodec<T, R>(PhantomData<fn() -> (T, R)>);

impl<T, R> Default for WeighedCodec<T, R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: Message + 'static, R: Message + Name + Default + 'static> Codec for WeighedCodec<T, R> {
    type Encode = T;
    type Decode = R;
    type Encoder = ProstEncoder<T>;
    type Decoder = WeighedDecoder<R>;

    fn encoder(&mut self) -> ProstEncoder<T> {
        ProstEncoder::default()
    }

    fn decoder(&mut self) -> WeighedDecoder<R> {
        WeighedDecoder::default()
    }
}

/// Weighs and decodes requests of type `R` and writes [`Frame`]s as they are. For servers only.
#[derive(Clone, Copy, Debug)]
pub struct FrameCodec<R>(PhantomData<fn() -> R>);

impl<R> Default for FrameCodec<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Message + Name + Default + 'static> Codec for FrameCodec<R> {
    type Encode = Frame;
    type Decode = R;
    type Encoder = FrameEncoder;
    type Decoder = WeighedDecoder<R>;

    fn encoder(&mut self) -> FrameEncoder {
        FrameEncoder
    }

    fn decoder(&mut self) -> WeighedDecoder<R> {
        WeighedDecoder::default()
    }
}

/// Decodes a request as prost does, unless it would take too much memory.
#[derive(Clone, Copy, Debug)]
pub struct WeighedDecoder<R>(PhantomData<fn() -> R>);

impl<R> Default for WeighedDecoder<R> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<R: Message + Name + Default> Decoder for WeighedDecoder<R> {
    type Item = R;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<R>, Status> {
        // The bytes are shared, not copied.
        let request = buffer.copy_to_bytes(buffer.remaining());
        if let Some(excess) = weight::excess(&R::full_name(), &request) {
            return Err(too_heavy(excess));
        }
        // With prost's own decoder a request that cannot be decoded is an internal error too.
        R::decode(request).map(Some).map_err(|error| Status::internal(error.to_string()))
    }
}

/// Writes a frame's bytes as the body of one gRPC message.
#[derive(Clone, Copy, Debug)]
pub struct FrameEncoder;

impl Encoder for FrameEncoder {
    type Item = Frame;
    type Error = Status;

    fn encode(&mut self, frame: Frame, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(frame.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use tonic::Streaming;
    use tonic::codec::{EncodeBody, SingleMessageCompressionOverride};
    use tonic_prost::ProstCodec;

    use super::*;
    use crate::proto::v1::watch_response::Frame as Body;
    use crate::proto::v1::{
        CaughtUp, CustomEvent, Event, EventBatch, Hello, WatchAllRequest, WatchRequest, event, watch_request,
    };

    /// What a server's encoder writes, as a client's ordinary prost decoder reads it.
    async fn through_a_response(sent: Vec<Frame>) -> Vec<WatchResponse> {
        let body = EncodeBody::new_server(
            FrameCodec::<WatchRequest>::default().encoder(),
            tokio_stream::iter(sent.into_iter().map(Ok)),
            None,
            SingleMessageCompressionOverride::default(),
            None,
        );
        let decoder = ProstCodec::<WatchRequest, WatchResponse>::default().decoder();
        let mut stream = Streaming::new_response(decoder, body, http::StatusCode::OK, None, None);
        let mut received = Vec::new();
        while let Some(response) = stream.message().await.expect("the frames are whole") {
            received.push(response);
        }
        received
    }

    /// What a client's ordinary prost encoder writes, as the server's decoder reads it.
    async fn through_a_request<R: Message + Name + Default + Clone + 'static>(sent: R) -> R {
        let encoder = ProstCodec::<R, WatchResponse>::default().encoder();
        let body = EncodeBody::new_client(encoder, tokio_stream::iter([Ok(sent)]), None, None);
        let decoder = FrameCodec::<R>::default().decoder();
        let mut stream = Streaming::new_request(decoder, body, None, None);
        stream.message().await.expect("the request is whole").expect("one request was sent")
    }

    #[tokio::test]
    async fn frames_arrive_at_an_ordinary_client_in_order_and_unchanged() {
        let custom = CustomEvent { data: Bytes::from(vec![7; 100_000]), ..Default::default() };
        let event = Event { seq: 9, body: Some(event::Body::Custom(custom)), ..Default::default() };
        let bodies = [
            Body::Hello(Hello { store_id: "s".into(), tail_seq: 9, ..Default::default() }),
            Body::Events(EventBatch { events: vec![event] }),
            Body::CaughtUp(CaughtUp { seq: 9 }),
        ];
        let mut sent: Vec<_> = bodies.into_iter().map(|body| WatchResponse { frame: Some(body) }).collect();
        sent.push(WatchResponse::default());

        let received = through_a_response(sent.iter().map(Frame::from).collect()).await;

        assert_eq!(received, sent);
    }

    #[tokio::test]
    async fn a_frame_of_wrong_bytes_is_an_error_at_the_client() {
        let body = EncodeBody::new_server(
            FrameEncoder,
            tokio_stream::iter([Ok(Frame(Bytes::from_static(&[0xff])))]),
            None,
            SingleMessageCompressionOverride::default(),
            None,
        );
        let decoder = ProstCodec::<WatchRequest, WatchResponse>::default().decoder();
        let mut stream = Streaming::new_response(decoder, body, http::StatusCode::OK, None, None);

        let status = stream.message().await.expect_err("0xff is no field");
        assert_eq!(status.code(), tonic::Code::Internal);
    }

    #[tokio::test]
    async fn requests_of_both_watches_are_decoded_as_prost_encodes_them() {
        let watch = WatchRequest {
            execution_id: "run-1".into(),
            start: Some(watch_request::Start::AfterSeq(41)),
            event_types: vec!["output".into(), "my.*".into()],
            ..Default::default()
        };
        assert_eq!(through_a_request(watch.clone()).await, watch);

        let labels = [("team".to_owned(), "a".to_owned())].into();
        let watch_all = WatchAllRequest { after_position: u64::MAX, labels, ..Default::default() };
        assert_eq!(through_a_request(watch_all.clone()).await, watch_all);
    }
}
