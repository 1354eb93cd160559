//! The one hostname of a request: who it is for, by the strictest reading that clients still meet.
//!
//! The authority of the request line or of `:authority` wins over `Host`; two `Host` headers, none, or one
//! with anything but a name and a port in it are refused, so that the edge and the application cannot read
//! two different hosts out of one request.

use std::borrow::Cow;

use http::header::{HOST, HeaderValue};
use http::{HeaderMap, Uri};

/// A `Host` header of more bytes is not a name (253) with a port (6).
const HOST_BYTES_MAX: usize = 259;

/// The value that goes on as `Host`, checked.
///
/// `None`: the request names no host, or not one host. The caller answers 400.
pub(crate) fn of(uri: &Uri, headers: &HeaderMap) -> Option<HeaderValue> {
    let mut named = headers.get_all(HOST).iter();
    let (first, second) = (named.next(), named.next());
    if second.is_some() {
        return None;
    }
    let host = match uri.authority() {
        Some(authority) => HeaderValue::from_str(authority.as_str()).ok()?,
        None => first?.clone(),
    };
    acceptable(host.as_bytes()).then_some(host)
}

/// The name to look a route up by: no port, no dot at the end, lower case.
pub(crate) fn name(host: &str) -> Cow<'_, str> {
    let end =
        if host.starts_with('[') { host.find(']').map_or(host.len(), |i| i + 1) } else { port_at(host) };
    let name = host[..end].trim_end_matches('.');
    if name.bytes().any(|b| b.is_ascii_uppercase()) {
        Cow::Owned(name.to_ascii_lowercase())
    } else {
        Cow::Borrowed(name)
    }
}

fn port_at(host: &str) -> usize {
    host.find(':').unwrap_or(host.len())
}

fn acceptable(host: &[u8]) -> bool {
    !host.is_empty()
        && host.len() <= HOST_BYTES_MAX
        && host
            .iter()
            .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_' | b':' | b'[' | b']'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_parts(uri: &str, hosts: &[&'static str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for host in hosts {
            headers.append(HOST, HeaderValue::from_static(host));
        }
        of(&uri.parse().unwrap(), &headers).map(|host| host.to_str().unwrap().to_owned())
    }

    #[test]
    fn a_request_names_exactly_one_host() {
        assert_eq!(of_parts("/", &["a.test"]).as_deref(), Some("a.test"));
        assert_eq!(of_parts("/", &[]), None);
        assert_eq!(of_parts("/", &["a.test", "b.test"]), None);
        assert_eq!(of_parts("/", &["a.test", "a.test"]), None);
        assert_eq!(of_parts("http://b.test/x", &["a.test"]).as_deref(), Some("b.test"));
        assert_eq!(of_parts("http://b.test:81/x", &[]).as_deref(), Some("b.test:81"));
    }

    #[test]
    fn a_host_with_more_than_a_name_and_a_port_is_refused() {
        for host in ["", "a b", "a/b", "user@a.test", "a.test,b.test", "a.test?x", "<b>", "a.test%00"] {
            assert_eq!(of_parts("/", &[host]), None, "{host}");
        }
        assert_eq!(of_parts("http://user@b.test/", &["b.test"]), None);
    }

    #[test]
    fn a_host_of_259_bytes_is_the_longest() {
        let headers = |len: usize| {
            let value = HeaderValue::from_str(&"a".repeat(len)).unwrap();
            HeaderMap::from_iter([(HOST, value)])
        };
        assert!(of(&Uri::from_static("/"), &headers(HOST_BYTES_MAX)).is_some());
        assert!(of(&Uri::from_static("/"), &headers(HOST_BYTES_MAX + 1)).is_none());
    }

    #[test]
    fn names_are_compared_without_port_case_and_last_dot() {
        for host in ["a.test", "A.Test", "a.test.", "a.test:8080", "A.TEST.:80"] {
            assert_eq!(name(host), "a.test", "{host}");
        }
        assert_eq!(name("[::1]:8080"), "[::1]");
        assert_eq!(name("[::1]"), "[::1]");
    }
}
