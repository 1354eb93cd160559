//! The services of the protocol, and those of their methods that our adapter's client calls.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};

use futures::stream::BoxStream;
use tonic::body::BoxBody;
use tonic::codec::ProstCodec;
use tonic::codegen::{BoxFuture, Service, http};
use tonic::metadata::MetadataMap;
use tonic::server::{ClientStreamingService, Grpc, NamedService, ServerStreamingService, UnaryService};
use tonic::{Request, Response, Status, Streaming};
use uuid::Uuid;

use crate::kurrentdb::double::faults::Fate;
use crate::kurrentdb::double::store::{Appended, Expected, Proposed};
use crate::kurrentdb::double::wire::{
    AppendContent, AppendReq, AppendResp, AppendResult, ClusterInfo, Current, EndPoint, ExpectedRevision,
    MemberInfo, Position, PositionOption, ProposedMessage, ReadReq, ReadResp, Success, SupportedMethod,
    SupportedMethods, UuidValue, WasExpected, WrongExpectedVersion,
};
use crate::kurrentdb::double::{Node, read};

const VERSION: &str = "24.10.0";
const FOLLOWER: i32 = 6;
const LEADER: i32 = 8;

macro_rules! service {
    ($service:ident, $name:literal) => {
        #[derive(Clone)]
        pub(super) struct $service(pub(super) Arc<Node>);

        impl NamedService for $service {
            const NAME: &'static str = $name;
        }

        impl Service<http::Request<BoxBody>> for $service {
            type Response = http::Response<BoxBody>;
            type Error = Infallible;
            type Future = BoxFuture<Self::Response, Self::Error>;

            fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
                Poll::Ready(Ok(()))
            }

            fn call(&mut self, request: http::Request<BoxBody>) -> Self::Future {
                Box::pin(answer(Arc::clone(&self.0), request))
            }
        }
    };
}

service!(Streams, "event_store.client.streams.Streams");
service!(ServerFeatures, "event_store.client.server_features.ServerFeatures");
service!(Gossip, "event_store.client.gossip.Gossip");

async fn answer(
    node: Arc<Node>,
    request: http::Request<BoxBody>,
) -> Result<http::Response<BoxBody>, Infallible> {
    let path = request.uri().path().to_owned();
    Ok(match path.as_str() {
        "/event_store.client.streams.Streams/Read" => {
            Grpc::new(ProstCodec::default()).server_streaming(Read(node), request).await
        }
        "/event_store.client.streams.Streams/Append" => {
            Grpc::new(ProstCodec::default()).client_streaming(Append(node), request).await
        }
        "/event_store.client.server_features.ServerFeatures/GetSupportedMethods" => {
            Grpc::new(ProstCodec::default()).unary(Methods, request).await
        }
        "/event_store.client.gossip.Gossip/Read" => {
            Grpc::new(ProstCodec::default()).unary(Members(node), request).await
        }
        _ => Status::unimplemented("the double does not know this method").into_http(),
    })
}

/// What a node answers before it looks at a request.
fn admit(node: &Node, metadata: &MetadataMap) -> Result<(), Status> {
    if node.faults.is_unavailable.load(Ordering::Relaxed) {
        return Err(Status::unavailable("Server Is Not Ready"));
    }
    if node.faults.denies.load(Ordering::Relaxed) {
        return Err(Status::permission_denied("Access Denied"));
    }
    let wants_leader = metadata.get("requires-leader").is_some_and(|value| value == "true");
    match *node.faults.leader.lock().unwrap() {
        Some(leader) if wants_leader => {
            let mut status = Status::not_found("Leader info available");
            let metadata = status.metadata_mut();
            metadata.insert("exception", "not-leader".parse().unwrap());
            metadata.insert("leader-endpoint-host", leader.ip().to_string().parse().unwrap());
            metadata.insert("leader-endpoint-port", leader.port().to_string().parse().unwrap());
            Err(status)
        }
        Some(_) | None => Ok(()),
    }
}

struct Read(Arc<Node>);

impl ServerStreamingService<ReadReq> for Read {
    type Response = ReadResp;
    type ResponseStream = BoxStream<'static, Result<ReadResp, Status>>;
    type Future = BoxFuture<Response<Self::ResponseStream>, Status>;

    fn call(&mut self, request: Request<ReadReq>) -> Self::Future {
        let node = Arc::clone(&self.0);
        Box::pin(async move {
            admit(&node, request.metadata())?;
            read::read(node, request.into_inner()).map(Response::new)
        })
    }
}

struct Append(Arc<Node>);

impl ClientStreamingService<AppendReq> for Append {
    type Response = AppendResp;
    type Future = BoxFuture<Response<AppendResp>, Status>;

    fn call(&mut self, request: Request<Streaming<AppendReq>>) -> Self::Future {
        let node = Arc::clone(&self.0);
        Box::pin(async move {
            admit(&node, request.metadata())?;
            append(&node, request.into_inner()).await.map(Response::new)
        })
    }
}

async fn append(node: &Node, mut messages: Streaming<AppendReq>) -> Result<AppendResp, Status> {
    let first = messages.message().await?.and_then(|message| message.content);
    let Some(AppendContent::Options(options)) = first else {
        return Err(Status::invalid_argument("the options come first"));
    };
    let name = options.stream.map(|stream| stream.stream_name).unwrap_or_default();
    let stream = String::from_utf8(name).map_err(|_| Status::invalid_argument("no stream"))?;
    let expected = match options.expected {
        Some(ExpectedRevision::NoStream(())) => Expected::NoStream,
        Some(ExpectedRevision::Revision(revision)) => Expected::Revision(revision),
        other => return Err(Status::unimplemented(format!("the double does not know {other:?}"))),
    };
    let mut events = Vec::new();
    while let Some(message) = messages.message().await? {
        match message.content {
            Some(AppendContent::Proposed(proposed)) => events.push(event_of(proposed)?),
            other => return Err(Status::invalid_argument(format!("no event: {other:?}"))),
        }
    }
    let fate = node.faults.fate_of_append();
    if fate == Fate::RequestLost {
        return Err(Status::unavailable("a fault of the test: the request got lost"));
    }
    let forgets_ids = node.faults.forgets_ids.load(Ordering::Relaxed);
    let appended = node.store.append(&stream, expected, events, forgets_ids);
    match fate {
        Fate::AnswerLost => return Err(Status::unavailable("a fault of the test: the answer got lost")),
        Fate::AnswerHeld => std::future::pending::<()>().await,
        Fate::AnswerEmpty => return Ok(AppendResp { result: None }),
        Fate::Succeeds | Fate::RequestLost => {}
    }
    let result = match appended {
        Appended::At { revision, position } => {
            let position = match node.faults.says_no_position.load(Ordering::Relaxed) {
                true => PositionOption::NoPosition(()),
                false => PositionOption::Position(Position { commit: position, prepare: position }),
            };
            AppendResult::Success(Success { revision: Some(revision), position: Some(position) })
        }
        Appended::Wrong(current) => AppendResult::Wrong(WrongExpectedVersion {
            current: Some(current.map_or(Current::NoStream(()), Current::Revision)),
            expected: Some(match expected {
                Expected::NoStream => WasExpected::NoStream(()),
                Expected::Revision(revision) => WasExpected::Revision(revision),
            }),
        }),
        Appended::Refused(why) => return Err(Status::invalid_argument(why)),
    };
    Ok(AppendResp { result: Some(result) })
}

fn event_of(proposed: ProposedMessage) -> Result<Proposed, Status> {
    let id = match proposed.id.and_then(|id| id.value) {
        Some(UuidValue::Structured(id)) => {
            Uuid::from_u64_pair(id.most.cast_unsigned(), id.least.cast_unsigned())
        }
        Some(UuidValue::String(id)) => id.parse().map_err(|_| Status::invalid_argument("no id"))?,
        None => return Err(Status::invalid_argument("an event without an id")),
    };
    let ProposedMessage { metadata, custom_metadata, data, .. } = proposed;
    Ok(Proposed { id, metadata, custom_metadata, data })
}

struct Methods;

impl UnaryService<()> for Methods {
    type Response = SupportedMethods;
    type Future = BoxFuture<Response<SupportedMethods>, Status>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let of_streams = |method: &str| SupportedMethod {
            method: method.to_owned(),
            service: "event_store.client.streams.streams".to_owned(),
        };
        let methods = vec![of_streams("read"), of_streams("append")];
        Box::pin(async move { Ok(Response::new(SupportedMethods { methods, version: VERSION.to_owned() })) })
    }
}

struct Members(Arc<Node>);

impl UnaryService<()> for Members {
    type Response = ClusterInfo;
    type Future = BoxFuture<Response<ClusterInfo>, Status>;

    fn call(&mut self, _: Request<()>) -> Self::Future {
        let members = self.0.members.lock().unwrap().clone();
        let members = members.into_iter().map(|(address, is_leader)| MemberInfo {
            state: if is_leader { LEADER } else { FOLLOWER },
            is_alive: true,
            end_point: Some(EndPoint { address: address.ip().to_string(), port: address.port().into() }),
        });
        let members = members.collect();
        Box::pin(async move { Ok(Response::new(ClusterInfo { members })) })
    }
}
