//! The way of one request: check → route → (hold) → send → answer.
//!
//! A request is sent once. It goes to another connection or another upstream only while nothing of it has
//! been written anywhere; after that, whatever happens is the answer.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HeaderValue, LOCATION};
use http::uri::PathAndQuery;
use http::{Method, Request, Response, StatusCode, Uri, Version};
use hyper::body::{Body, Incoming};
use tracing::debug;

use crate::edge::body::{RequestBody, ResponseBody, Upload};
use crate::edge::client::{Client, InRequest};
use crate::edge::counters::add;
use crate::edge::failure::{self, Failure};
use crate::edge::header::{self, Forwarded, Framing};
use crate::edge::hold::Hold;
use crate::edge::host;
use crate::edge::link::{Link, Unanswered, Watch};
use crate::edge::passage::Passage;
use crate::edge::target::Admitted;
use crate::edge::tunnel::Tunnel;
use crate::edge::upstream::Busy;

/// A failure, and what the page says about it.
struct Refusal {
    failure: Failure,
    detail: String,
}

/// A request that may be forwarded, and what is known of it.
struct Call {
    client: Arc<Client>,
    host: HeaderValue,
    websocket: bool,
    upload: Option<Arc<Upload>>,
}

/// What became of sending a request.
enum Sent {
    Answered(Response<Incoming>, Passage),
    /// No upstream accepts connections. Nothing was sent, so the request comes back.
    Nowhere(Request<RequestBody>),
    Failed(Refusal),
}

/// Answers one request. It always can: what goes wrong is an answer too.
pub(crate) async fn handle(
    client: Arc<Client>,
    request: Request<Incoming>,
) -> Result<Response<ResponseBody>, Infallible> {
    add(&client.edge.counting().requests);
    let in_request = InRequest::new(&client);
    let version = request.version();
    let html = failure::prefers_html(request.headers());
    let mut response = match answer(&client, request).await {
        Ok(Answer::Stream(response, passage)) => {
            let quiet_limit = client.edge.settings().quiet_limit;
            response.map(|incoming| ResponseBody::stream(incoming, passage, quiet_limit, in_request))
        }
        Ok(Answer::Switch(response)) => response.map(|()| ResponseBody::page(Bytes::new(), in_request)),
        Ok(Answer::Redirect(location)) => {
            let mut response = Response::new(ResponseBody::page(Bytes::new(), in_request));
            *response.status_mut() = StatusCode::PERMANENT_REDIRECT;
            response.headers_mut().insert(LOCATION, location);
            response.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            response
        }
        Err(refusal) => {
            client.edge.counting().fail(refusal.failure);
            let response = refusal.failure.answer(html, &refusal.detail);
            response.map(|page| ResponseBody::page(page, in_request))
        }
    };
    if client.stop.is_stopping()
        && version <= Version::HTTP_11
        && response.status() != StatusCode::SWITCHING_PROTOCOLS
    {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    Ok(response)
}

enum Answer {
    Stream(Response<Incoming>, Passage),
    /// The same address, by HTTPS.
    Redirect(HeaderValue),
    /// A 101, whose tunnel waits with the client.
    Switch(Response<()>),
}

async fn answer(client: &Arc<Client>, request: Request<Incoming>) -> Result<Answer, Refusal> {
    let (call, request) = check(client, request)?;
    if let Some(location) = secure_location(&call, request.uri()) {
        return Ok(Answer::Redirect(location));
    }
    let (mut response, passage) = forward(&call, request).await?;
    let switches = header::agrees_to_websocket(response.status(), response.headers());
    header::forward_answer(response.headers_mut(), switches);
    *response.version_mut() = Version::HTTP_11;
    if switches && call.websocket {
        let Passage { link, busy, admitted, .. } = passage;
        let (upstream, early) = link.into_stream().await;
        client.open_tunnel(Tunnel { upstream, early, busy, admitted });
        return Ok(Answer::Switch(response.map(drop)));
    }
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Refusal::of(Failure::UpstreamInvalid, &passage.admitted));
    }
    Ok(Answer::Stream(response, passage))
}

/// Where a request that came without TLS is sent, when its hostname has a certificate.
fn secure_location(call: &Call, uri: &Uri) -> Option<HeaderValue> {
    let https = call.client.edge.https.get().filter(|_| !call.client.is_secure)?;
    let name = host::name(call.host.to_str().ok()?);
    if uri.path().starts_with("/.well-known/acme-challenge/") || !https.certificates.covers(&name) {
        return None;
    }
    let port = if https.port == 443 { String::new() } else { format!(":{}", https.port) };
    let path = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    HeaderValue::from_str(&format!("https://{name}{port}{path}")).ok()
}

/// Refuses what could be read in two ways, and makes the request that goes on out of the rest.
fn check(client: &Arc<Client>, request: Request<Incoming>) -> Result<(Call, Request<RequestBody>), Refusal> {
    let settings = client.edge.settings();
    let (mut parts, incoming) = request.into_parts();
    // From here on a body that is not read to its end is known to be so, whatever the answer will be.
    let (body, upload) = RequestBody::new(incoming, client, settings.body_bytes_max, settings.stall_limit);
    let host = host::of(&parts.uri, &parts.headers)
        .ok_or_else(|| Refusal::bad("The request must name exactly one host."))?;
    if parts.method == Method::CONNECT {
        return Err(Refusal::bad("This is not a forward proxy."));
    }
    if !header::framing_is_plain(&parts.headers) {
        return Err(Refusal::bad("The only transfer coding that passes is chunked."));
    }
    if let Some(bytes_max) = settings.body_bytes_max
        && body.size_hint().lower() > bytes_max
    {
        return Err(Refusal::too_large(bytes_max));
    }
    let framing = match body.size_hint().exact() {
        _ if body.is_end_stream() => Framing::Empty,
        Some(_) => Framing::Sized,
        None => Framing::Chunked,
    };
    let websocket = header::asks_for_websocket(&parts.method, parts.version, &parts.headers, framing);
    if parts.version == Version::HTTP_2 {
        header::join_cookies(&mut parts.headers);
    }
    let from = Forwarded {
        client: client.address.clone(),
        proto: HeaderValue::from_static(if client.is_secure { "https" } else { "http" }),
        host: host.clone(),
    };
    header::forward_request(&mut parts.headers, framing, websocket, from);
    if parts.uri.scheme().is_some() || parts.uri.authority().is_some() {
        parts.uri = parts.uri.path_and_query().cloned().map_or_else(Uri::default, PathAndQuery::into);
    }
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    let call = Call { client: Arc::clone(client), host, websocket, upload };
    Ok((call, Request::from_parts(parts, body)))
}

/// Sends the request to the release that has its hostname, holding it while there is nowhere to send it.
async fn forward(
    call: &Call,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Passage), Refusal> {
    let edge = &call.client.edge;
    let host = call.host.to_str().unwrap_or_default(); // Checked: host::of lets only ASCII pass.
    let name = host::name(host);
    let mut hold = None;
    loop {
        let Some(admitted) = edge.table().admit(&name) else {
            let detail = format!("No application has the hostname {name} here.");
            return Err(Refusal { failure: Failure::NoRoute, detail });
        };
        let target = Arc::clone(admitted.target());
        request = match send(call, admitted, request).await {
            Sent::Answered(response, passage) => return Ok((response, passage)),
            Sent::Failed(refusal) => return Err(refusal),
            Sent::Nowhere(request) => request,
        };
        let hold = match &mut hold {
            Some(hold) => hold,
            None => {
                let full = || Refusal { failure: Failure::HoldFull, detail: target.release.title() };
                hold.insert(Hold::enter(edge, &target.release).ok_or_else(full)?)
            }
        };
        if !hold.wait(edge.table(), &name, &target).await {
            let detail = format!("{} does not accept connections at present.", target.release.title());
            return Err(Refusal { failure: Failure::NotReady, detail });
        }
    }
}

/// Tries each upstream of the release once, until one takes the request.
async fn send(call: &Call, admitted: Admitted, mut request: Request<RequestBody>) -> Sent {
    let target = Arc::clone(admitted.target());
    let mut tried = Vec::new();
    while let Some(index) = target.choose(&tried) {
        let busy = Busy::new(Arc::clone(&target.upstreams[index]));
        request = match send_to(call, &admitted, &busy, request).await {
            Ok((response, link)) => {
                let edge = Arc::clone(&call.client.edge);
                return Sent::Answered(response, Passage { link, busy, admitted, edge });
            }
            Err(NoAnswer::NotSent(request)) => *request,
            Err(NoAnswer::Failed(refusal)) => return Sent::Failed(refusal),
        };
        busy.upstream().refused();
        tried.push(index);
    }
    Sent::Nowhere(request)
}

enum NoAnswer {
    NotSent(Box<Request<RequestBody>>),
    Failed(Refusal),
}

/// Sends the request on an idle connection to one upstream, or on a new one when none of those is alive.
async fn send_to(
    call: &Call,
    admitted: &Admitted,
    busy: &Busy,
    mut request: Request<RequestBody>,
) -> Result<(Response<Incoming>, Box<Link>), NoAnswer> {
    let (settings, upstream) = (call.client.edge.settings(), busy.upstream());
    loop {
        let idle = upstream.take_idle(settings.pool_idle_limit);
        let is_new = idle.is_none();
        let mut link = match idle {
            Some(link) => link,
            None => match connect(call, admitted, busy).await {
                Ok(link) => link,
                Err(address) => {
                    debug!("{} refuses connections at {address}", admitted.release().title());
                    return Err(NoAnswer::NotSent(Box::new(request)));
                }
            },
        };
        let watch = Watch {
            release: admitted.release(),
            answer_limit: settings.answer_limit,
            upload: call.upload.as_deref(),
        };
        request = match link.exchange(request, watch).await {
            Ok(response) => return Ok((response, link)),
            // The idle connection had been closed meanwhile; the next one may not.
            Err(Unanswered::NotSent(request)) if !is_new => *request,
            Err(Unanswered::NotSent(request)) => return Err(NoAnswer::NotSent(request)),
            Err(Unanswered::Broken(error)) => return Err(NoAnswer::Failed(broken(call, admitted, &error))),
            Err(Unanswered::Cut) => return Err(NoAnswer::Failed(Refusal::of(Failure::Drained, admitted))),
            Err(Unanswered::Late) => {
                return Err(NoAnswer::Failed(Refusal::of(Failure::UpstreamTimeout, admitted)));
            }
        };
    }
}

async fn connect(call: &Call, admitted: &Admitted, busy: &Busy) -> Result<Box<Link>, SocketAddr> {
    let upstream = busy.upstream();
    let connecting = Link::connect(upstream.address(), call.client.edge.settings().connect_limit);
    let link = connecting.await.map_err(|_refused| upstream.address())?;
    if upstream.accepted() {
        admitted.release().recovered.notify_waiters();
    }
    Ok(Box::new(link))
}

/// Why there is no answer on a connection that worked until the request was sent.
fn broken(call: &Call, admitted: &Admitted, error: &hyper::Error) -> Refusal {
    debug!(error = %error, "{} gave no answer", admitted.release().title());
    if let Some(upload) = &call.upload {
        if upload.is_too_large() {
            return Refusal::too_large(call.client.edge.settings().body_bytes_max.unwrap_or(u64::MAX));
        }
        if upload.is_stalled() {
            return Refusal {
                failure: Failure::ClientStalled,
                detail: "The body stopped arriving.".to_owned(),
            };
        }
    }
    if error.is_user() {
        return Refusal::bad("The body of the request broke off.");
    }
    let failure = if error.is_parse() { Failure::UpstreamInvalid } else { Failure::UpstreamClosed };
    Refusal::of(failure, admitted)
}

impl Refusal {
    fn bad(detail: &str) -> Self {
        Refusal { failure: Failure::BadRequest, detail: detail.to_owned() }
    }

    fn too_large(bytes_max: u64) -> Self {
        let detail = format!("A request body may have {bytes_max} bytes here.");
        Refusal { failure: Failure::BodyTooLarge, detail }
    }

    fn of(failure: Failure, admitted: &Admitted) -> Self {
        Refusal { failure, detail: admitted.release().title() }
    }
}
