//! Which headers pass the edge, in both directions.
//!
//! Headers that belong to one connection end here, with everything a `Connection` header names; only then are
//! the edge's own `X-Forwarded-*` set, so that no client can have them taken out or put its own in their
//! place. An application reads `X_Forwarded_For` as the same name (CGI, WSGI), so underscores do not help
//! either.

use http::header::{
    CONNECTION, CONTENT_LENGTH, COOKIE, EXPECT, HOST, HeaderName, HeaderValue, PROXY_AUTHENTICATE,
    PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{HeaderMap, Method, StatusCode, Version};

use crate::edge::failure::SWITCHBACK_ERROR;

static KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
static PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");
static X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
static X_FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
static X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

const WEBSOCKET: HeaderValue = HeaderValue::from_static("websocket");
const KEYWORD_UPGRADE: HeaderValue = HeaderValue::from_static("upgrade");
const CHUNKED: HeaderValue = HeaderValue::from_static("chunked");

/// How the body of the forwarded request is framed, as the edge understood the client's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Framing {
    /// No body.
    Empty,
    /// `Content-Length`, already in the headers when the client gave it.
    Sized,
    /// Chunks, of unknown length.
    Chunked,
}

/// Where a request came from and who it is for.
pub(crate) struct Forwarded {
    pub(crate) client: HeaderValue,
    pub(crate) proto: HeaderValue,
    pub(crate) host: HeaderValue,
}

/// Whether the request asks for the only upgrade that passes: a WebSocket, by GET, over HTTP/1.1, without a
/// body.
pub(crate) fn asks_for_websocket(
    method: &Method,
    version: Version,
    headers: &HeaderMap,
    framing: Framing,
) -> bool {
    *method == Method::GET
        && version == Version::HTTP_11
        && framing == Framing::Empty
        && is_websocket(headers)
        && connection_tokens(headers).any(|token| token.eq_ignore_ascii_case("upgrade"))
}

/// Whether an answer agrees to a WebSocket.
pub(crate) fn agrees_to_websocket(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS && is_websocket(headers)
}

/// Whether `Transfer-Encoding`, where there is one, is `chunked` once and nothing else.
///
/// Another coding would have to be forwarded with its name, and two proxies that read `gzip, chunked`
/// differently are a way to smuggle a request.
pub(crate) fn framing_is_plain(headers: &HeaderMap) -> bool {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    match (codings.next(), codings.next()) {
        (None, _) => true,
        (Some(coding), None) => coding.as_bytes().eq_ignore_ascii_case(b"chunked"),
        (Some(_), Some(_)) => false,
    }
}

/// Turns the client's headers into those of the request that goes on.
pub(crate) fn forward_request(headers: &mut HeaderMap, framing: Framing, websocket: bool, from: Forwarded) {
    remove(headers, |name| ends_at_the_edge(name) || *name == EXPECT || is_forged(name.as_str()));
    headers.reserve(5);
    headers.insert(HOST, from.host.clone());
    headers.insert(&X_FORWARDED_FOR, from.client);
    headers.insert(&X_FORWARDED_PROTO, from.proto);
    headers.insert(&X_FORWARDED_HOST, from.host);
    match framing {
        Framing::Empty | Framing::Sized => {}
        Framing::Chunked => {
            headers.remove(CONTENT_LENGTH);
            headers.insert(TRANSFER_ENCODING, CHUNKED);
        }
    }
    if websocket {
        headers.insert(CONNECTION, KEYWORD_UPGRADE);
        headers.insert(UPGRADE, WEBSOCKET);
    }
}

/// HTTP/2 clients may send one `Cookie` per crumb; HTTP/1.1 has one line.
pub(crate) fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(COOKIE).iter();
    if crumbs.next().is_none() || crumbs.next().is_none() {
        return;
    }
    let joined =
        headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect::<Vec<_>>().join(&b"; "[..]);
    if let Ok(cookie) = HeaderValue::from_bytes(&joined) {
        headers.insert(COOKIE, cookie);
    }
}

/// Turns the application's headers into those of the answer that goes to the client.
pub(crate) fn forward_answer(headers: &mut HeaderMap, websocket: bool) {
    // Chunks win over a length, as they did when the body was read; the length must not go on as if it were
    // true.
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
    }
    remove(headers, |name| ends_at_the_edge(name) || *name == SWITCHBACK_ERROR);
    if websocket {
        headers.insert(CONNECTION, KEYWORD_UPGRADE);
        headers.insert(UPGRADE, WEBSOCKET);
    }
}

fn is_websocket(headers: &HeaderMap) -> bool {
    let mut protocols = headers.get_all(UPGRADE).iter();
    match (protocols.next(), protocols.next()) {
        (Some(protocol), None) => protocol.as_bytes().eq_ignore_ascii_case(b"websocket"),
        (_, _) => false,
    }
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(',').map(str::trim))
}

/// Takes out what `ends` names and what the `Connection` headers name. Most messages have neither, so the
/// list of names is made only when there is something on it.
fn remove(headers: &mut HeaderMap, ends: impl Fn(&HeaderName) -> bool) {
    if !headers.keys().any(&ends) {
        return;
    }
    let mut names: Vec<HeaderName> = headers.keys().filter(|name| ends(name)).cloned().collect();
    names
        .extend(connection_tokens(headers).filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok()));
    for name in names {
        // The length of the body is the edge's to say; a client cannot have it taken out by naming it.
        if name != CONTENT_LENGTH {
            headers.remove(name);
        }
    }
}

fn ends_at_the_edge(name: &HeaderName) -> bool {
    *name == CONNECTION
        || *name == TRANSFER_ENCODING
        || *name == UPGRADE
        || *name == TE
        || *name == TRAILER
        || *name == PROXY_AUTHORIZATION
        || *name == PROXY_AUTHENTICATE
        || *name == KEEP_ALIVE
        || *name == PROXY_CONNECTION
}

/// Names by which an application learns of the client: only the edge may say these.
fn is_forged(name: &str) -> bool {
    match name.as_bytes() {
        [b'x', b'-' | b'_', rest @ ..] => starts_with_name(rest, b"forwarded") || is_name(rest, b"real-ip"),
        [b'f', ..] => name == "forwarded",
        _ => false,
    }
}

fn starts_with_name(name: &[u8], with: &[u8]) -> bool {
    name.get(..with.len()).is_some_and(|start| is_name(start, with))
}

fn is_name(name: &[u8], other: &[u8]) -> bool {
    let dashed = |b: &u8| if *b == b'_' { b'-' } else { *b };
    name.len() == other.len() && name.iter().map(dashed).eq(other.iter().copied())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_static(value));
        }
        headers
    }

    fn forwarded(pairs: &[(&'static str, &'static str)]) -> Vec<String> {
        let mut headers = map(pairs);
        let from = Forwarded {
            client: HeaderValue::from_static("192.0.2.7"),
            proto: HeaderValue::from_static("http"),
            host: HeaderValue::from_static("a.test"),
        };
        forward_request(&mut headers, Framing::Empty, false, from);
        let mut lines: Vec<_> =
            headers.iter().map(|(name, value)| format!("{name}: {}", value.to_str().unwrap())).collect();
        lines.sort();
        lines
    }

    const OWN: [&str; 4] =
        ["host: a.test", "x-forwarded-for: 192.0.2.7", "x-forwarded-host: a.test", "x-forwarded-proto: http"];

    #[test]
    fn what_belongs_to_one_connection_ends_here() {
        assert_eq!(
            forwarded(&[
                ("connection", "keep-alive, X-Secret"),
                ("connection", "x-other"),
                ("keep-alive", "timeout=5"),
                ("proxy-connection", "close"),
                ("proxy-authorization", "Basic eDp5"),
                ("te", "trailers"),
                ("trailer", "x-checksum"),
                ("upgrade", "foo"),
                ("expect", "100-continue"),
                ("x-secret", "1"),
                ("x-other", "1"),
            ]),
            OWN
        );
    }

    #[test]
    fn a_client_can_neither_set_nor_remove_what_the_edge_says_of_it() {
        let spoofed: &[(&str, &str)] = &[
            ("connection", "x-forwarded-for, x-forwarded-proto, host"),
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded_for", "10.0.0.1"),
            ("x-forwarded_for", "10.0.0.1"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "admin.test"),
            ("x-forwarded-port", "443"),
            ("x-real-ip", "10.0.0.1"),
            ("x_real_ip", "10.0.0.1"),
            ("forwarded", "for=10.0.0.1"),
            ("host", "b.test"),
        ];
        assert_eq!(forwarded(spoofed), OWN);
        for one in spoofed {
            assert_eq!(forwarded(&[*one]), OWN, "{one:?} alone");
        }
    }

    #[test]
    fn everything_else_passes() {
        let lines =
            forwarded(&[("x-forward", "1"), ("x-real", "2"), ("x-request-id", "3"), ("cookie", "a=b")]);
        assert_eq!(lines.len(), OWN.len() + 4);
    }

    #[test]
    fn a_chunked_body_says_so_whatever_the_client_said() {
        let mut headers = map(&[("content-length", "5")]);
        let name = || HeaderValue::from_static("a.test");
        let from = Forwarded { client: name(), proto: name(), host: name() };
        forward_request(&mut headers, Framing::Chunked, false, from);
        assert!(!headers.contains_key(CONTENT_LENGTH));
        assert_eq!(headers[TRANSFER_ENCODING], "chunked");
    }

    #[test]
    fn only_chunked_alone_is_a_plain_framing() {
        assert!(framing_is_plain(&map(&[])));
        assert!(framing_is_plain(&map(&[("transfer-encoding", "Chunked")])));
        assert!(!framing_is_plain(&map(&[("transfer-encoding", "gzip, chunked")])));
        assert!(!framing_is_plain(&map(&[
            ("transfer-encoding", "chunked"),
            ("transfer-encoding", "chunked")
        ])));
    }

    #[test]
    fn only_a_websocket_by_get_without_a_body_is_an_upgrade() {
        let asks = |method: Method, pairs: &[(&'static str, &'static str)], framing| {
            asks_for_websocket(&method, Version::HTTP_11, &map(pairs), framing)
        };
        let good = [("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket")];
        assert!(asks(Method::GET, &good, Framing::Empty));
        assert!(!asks(Method::POST, &good, Framing::Empty));
        assert!(!asks(Method::GET, &good, Framing::Sized));
        assert!(!asks(Method::GET, &good[1..], Framing::Empty));
        assert!(!asks(Method::GET, &[("connection", "upgrade"), ("upgrade", "foo")], Framing::Empty));
        assert!(!asks(
            Method::GET,
            &[("connection", "upgrade"), ("upgrade", "websocket, foo")],
            Framing::Empty
        ));
        assert!(!asks_for_websocket(&Method::GET, Version::HTTP_10, &map(&good), Framing::Empty));
    }

    #[test]
    fn an_application_cannot_speak_for_the_edge() {
        let mut headers = map(&[("switchback-error", "no_route"), ("connection", "close"), ("server", "x")]);
        forward_answer(&mut headers, false);
        assert_eq!(headers, map(&[("server", "x")]));
    }

    #[test]
    fn cookie_crumbs_become_one_line() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        join_cookies(&mut headers);
        assert_eq!(headers, map(&[("cookie", "a=1; b=2")]));
    }
}
