//! What the edge answers when no application does: one status, one code, one small page per kind.
//!
//! The code stands in the header `Switchback-Error`, which an application cannot set: it is taken out of
//! every answer that comes from behind. A page never shows an address inside, and nothing the client sent
//! unescaped.

use bytes::Bytes;
use http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER,
};
use http::{HeaderMap, Response, StatusCode};

/// Names the kind of failure; absent from every answer that an application gave.
pub(crate) static SWITCHBACK_ERROR: HeaderName = HeaderName::from_static("switchback-error");

/// Why the edge answers itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The request cannot be forwarded safely.
    BadRequest,
    /// No route has this hostname.
    NoRoute,
    /// The client stopped sending the body it announced.
    ClientStalled,
    /// The body is over the limit.
    BodyTooLarge,
    /// The application does not accept connections, and did not start to within the hold limit.
    NotReady,
    /// So many requests wait for the application already that this one may not.
    HoldFull,
    /// The release was replaced and its drain limit is over.
    Drained,
    /// The application closed the connection before it answered.
    UpstreamClosed,
    /// The application's answer is not HTTP.
    UpstreamInvalid,
    /// The application did not answer in time.
    UpstreamTimeout,
}

impl Failure {
    /// All of them, in the order of their discriminants.
    pub(crate) const ALL: [Failure; 10] = [
        Failure::BadRequest,
        Failure::NoRoute,
        Failure::ClientStalled,
        Failure::BodyTooLarge,
        Failure::NotReady,
        Failure::HoldFull,
        Failure::Drained,
        Failure::UpstreamClosed,
        Failure::UpstreamInvalid,
        Failure::UpstreamTimeout,
    ];

    /// The value of `Switchback-Error`.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Failure::BadRequest => "bad_request",
            Failure::NoRoute => "no_route",
            Failure::ClientStalled => "client_stalled",
            Failure::BodyTooLarge => "body_too_large",
            Failure::NotReady => "not_ready",
            Failure::HoldFull => "hold_full",
            Failure::Drained => "drained",
            Failure::UpstreamClosed => "upstream_closed",
            Failure::UpstreamInvalid => "upstream_invalid",
            Failure::UpstreamTimeout => "upstream_timeout",
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Failure::BadRequest => StatusCode::BAD_REQUEST,
            Failure::NoRoute => StatusCode::NOT_FOUND,
            Failure::ClientStalled => StatusCode::REQUEST_TIMEOUT,
            Failure::BodyTooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Failure::NotReady | Failure::HoldFull | Failure::Drained => StatusCode::SERVICE_UNAVAILABLE,
            Failure::UpstreamClosed | Failure::UpstreamInvalid => StatusCode::BAD_GATEWAY,
            Failure::UpstreamTimeout => StatusCode::GATEWAY_TIMEOUT,
        }
    }

    fn title(self) -> &'static str {
        match self {
            Failure::BadRequest => "This request cannot be forwarded",
            Failure::NoRoute => "There is no application here",
            Failure::ClientStalled => "The request did not arrive",
            Failure::BodyTooLarge => "The request is too large",
            Failure::NotReady => "The application is not ready",
            Failure::HoldFull => "The application is not ready, and too many requests wait for it",
            Failure::Drained => "The application was replaced by a newer release",
            Failure::UpstreamClosed => "The application closed the connection without an answer",
            Failure::UpstreamInvalid => "The application's answer is not HTTP",
            Failure::UpstreamTimeout => "The application did not answer in time",
        }
    }

    /// The answer, with a page that says what is wrong and, in `detail`, with whom.
    pub(crate) fn answer(self, html: bool, detail: &str) -> Response<Bytes> {
        let (content_type, page) = if html { self.html(detail) } else { self.plain(detail) };
        let mut headers = HeaderMap::with_capacity(6);
        headers.insert(&SWITCHBACK_ERROR, HeaderValue::from_static(self.code()));
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(CONTENT_LENGTH, page.len().into());
        if self.status() == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("2"));
        }
        let mut response = Response::new(Bytes::from(page));
        *response.status_mut() = self.status();
        *response.headers_mut() = headers;
        response
    }

    fn plain(self, detail: &str) -> (&'static str, String) {
        let page = format!("{}\n{detail}\n({} {})\n", self.title(), self.status().as_u16(), self.code());
        ("text/plain; charset=utf-8", page)
    }

    fn html(self, detail: &str) -> (&'static str, String) {
        let title = self.title();
        let page = format!(
            "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title}</title>\n\
             <meta name=\"viewport\" content=\"width=device-width\">\n\
             <style>body{{font:1.1em/1.5 system-ui,sans-serif;max-width:36em;margin:15vh auto;padding:0 1em}}\
             small{{color:#777}}</style></head>\n\
             <body><h1>{title}</h1><p>{}</p><small>{} {} · Switchback</small></body></html>\n",
            escaped(detail),
            self.status().as_u16(),
            self.code(),
        );
        ("text/html; charset=utf-8", page)
    }
}

/// Whether the client would rather read HTML: a browser says so, curl and API clients do not.
pub(crate) fn prefers_html(headers: &HeaderMap) -> bool {
    headers
        .get(ACCEPT)
        .and_then(|accept| accept.to_str().ok())
        .is_some_and(|accept| accept.contains("text/html"))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_of_failures_is_in_the_order_of_the_counters() {
        for (index, failure) in Failure::ALL.into_iter().enumerate() {
            assert_eq!(failure as usize, index);
        }
    }

    #[test]
    fn what_is_not_ready_may_be_asked_again() {
        let answer = Failure::NotReady.answer(false, "shop (v3)");
        assert_eq!(answer.status(), 503);
        assert!(answer.headers().contains_key(RETRY_AFTER));
        assert!(answer.headers()[&SWITCHBACK_ERROR] == "not_ready");
        assert!(!Failure::NoRoute.answer(false, "").headers().contains_key(RETRY_AFTER));
    }

    #[test]
    fn a_page_shows_what_came_from_outside_escaped() {
        let answer = Failure::NoRoute.answer(true, "<script>alert(\"1\")</script>");
        let page = String::from_utf8(answer.into_body().to_vec()).unwrap();
        assert!(page.contains("&lt;script&gt;alert(&quot;1&quot;)"));
        assert!(!page.contains("<script>"));
    }
}
