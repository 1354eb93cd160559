//! TLS: certificates by name, replaced while connections are open.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::CertifiedKey;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use switchback_gateway::edge::tls::Certificates;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::app::{App, OK, header};
use crate::caller::Caller;
use crate::http2::text;
use crate::site::{Site, until, within};

/// A site that is reached by TLS as well.
struct Secure {
    site: Site,
    address: SocketAddr,
    certificates: Arc<Certificates>,
    directory: TempDir,
}

impl Secure {
    async fn of(app: &App, pairs: &[(&str, &[&str])]) -> (Self, Vec<CertificateDer<'static>>) {
        let directory = tempfile::tempdir().unwrap();
        let roots = pairs.iter().map(|(file, names)| issue(directory.path(), file, names)).collect();
        let site = Site::of(app).await;
        let certificates = Certificates::open(directory.path()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let acceptor = certificates.acceptor().unwrap();
        tokio::spawn(Arc::clone(&site.edge).serve_tls(listener, acceptor, site.shutdown.clone()));
        (Secure { site, address, certificates, directory }, roots)
    }

    async fn connect(
        &self,
        name: &str,
        roots: &[CertificateDer<'static>],
        protocols: &[&str],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut store = RootCertStore::empty();
        roots.iter().for_each(|root| store.add(root.clone()).unwrap());
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let mut config = config.unwrap().with_root_certificates(store).with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        within("the handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
    }
}

/// Writes a certificate of its own and its key; answers with the certificate, to be trusted.
fn issue(directory: &Path, file: &str, names: &[&str]) -> CertificateDer<'static> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let CertifiedKey { cert, signing_key } = rcgen::generate_simple_self_signed(names).unwrap();
    fs::write(directory.join(format!("{file}.key")), signing_key.serialize_pem()).unwrap();
    fs::write(directory.join(format!("{file}.crt")), cert.pem()).unwrap();
    cert.der().clone()
}

type Sender = http1::SendRequest<Full<Bytes>>;

async fn http1(stream: TlsStream<TcpStream>) -> Sender {
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut Sender, host: &str) -> Response<Incoming> {
    let request = Request::get("/x").header("host", host).body(Full::default()).unwrap();
    within("an answer", sender.send_request(request)).await.unwrap()
}

fn served(stream: &TlsStream<TcpStream>) -> CertificateDer<'static> {
    stream.get_ref().1.peer_certificates().unwrap()[0].clone().into_owned()
}

#[tokio::test]
async fn requests_by_tls_are_forwarded_and_marked_so() {
    let app = App::answering(OK).await;
    let (secure, roots) = Secure::of(&app, &[("a", &["a.test"])]).await;
    let stream = secure.connect("a.test", &roots, &["http/1.1"]).await.unwrap();
    let answer = ask(&mut http1(stream).await, "a.test").await;
    assert_eq!(text(answer).await, "ok");
    assert_eq!(header(&app.seen()[0], "x-forwarded-proto"), Some("https"));
}

#[tokio::test]
async fn http_2_is_offered_and_taken() {
    let app = App::answering(OK).await;
    let (secure, roots) = Secure::of(&app, &[("a", &["a.test"])]).await;
    let stream = secure.connect("a.test", &roots, &["h2", "http/1.1"]).await.unwrap();
    assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("https://a.test/").body(Full::<Bytes>::default()).unwrap();
    assert_eq!(text(sender.send_request(request).await.unwrap()).await, "ok");
}

#[tokio::test]
async fn the_certificate_is_chosen_by_the_name_and_a_star_stands_for_one_label() {
    let app = App::answering(OK).await;
    let (secure, roots) = Secure::of(&app, &[("a", &["a.test", "b.test"]), ("star", &["*.c.test"])]).await;
    for (name, root) in [("a.test", 0), ("b.test", 0), ("x.c.test", 1)] {
        let stream = secure.connect(name, &roots, &[]).await.unwrap();
        assert_eq!(served(&stream), roots[root], "{name}");
        assert!(secure.certificates.covers(name), "{name}");
    }
    for name in ["c.test", "x.y.c.test", "other.test"] {
        let refused = secure.connect(name, &roots, &[]).await.unwrap_err();
        assert!(!secure.certificates.covers(name), "{name}: {refused}");
    }
    until("refusals are counted", || secure.site.edge.counters().handshakes_failed >= 3).await;
}

#[tokio::test]
async fn the_default_certificate_serves_names_that_nothing_covers() {
    let app = App::answering(OK).await;
    let (secure, roots) = Secure::of(&app, &[("default", &["d.test"]), ("a", &["a.test"])]).await;
    assert_eq!(served(&secure.connect("a.test", &roots, &[]).await.unwrap()), roots[1]);
    assert_eq!(served(&secure.connect("d.test", &roots, &[]).await.unwrap()), roots[0]);
    // It is served; that the name is not in it is for the client to say.
    let refused = secure.connect("other.test", &roots, &[]).await.unwrap_err();
    assert!(refused.to_string().contains("not valid for name"), "{refused}");
}

#[tokio::test]
async fn a_certificate_is_replaced_without_dropping_a_connection() {
    let app = App::answering(OK).await;
    let (secure, mut roots) = Secure::of(&app, &[("a", &["a.test"])]).await;
    tokio::spawn(Arc::clone(&secure.certificates).watch(secure.site.shutdown.clone()));
    let mut open = http1(secure.connect("a.test", &roots, &[]).await.unwrap()).await;
    assert_eq!(ask(&mut open, "a.test").await.status(), 200);
    // Half a pair first, as a copy in progress leaves it.
    fs::write(secure.directory.path().join("a.key"), "half").unwrap();
    fs::write(secure.directory.path().join("broken.crt"), "no certificate").unwrap();
    roots.push(issue(secure.directory.path(), "b", &["b.test"]));
    until("the new one is found", || secure.certificates.covers("b.test")).await;
    assert!(secure.certificates.covers("a.test"), "the one before stays while its files are broken");
    roots.push(issue(secure.directory.path(), "a", &["a.test", "a2.test"]));
    until("the replacement is found", || secure.certificates.covers("a2.test")).await;
    assert_eq!(served(&secure.connect("a.test", &roots, &[]).await.unwrap()), roots[2]);
    assert_eq!(ask(&mut open, "a.test").await.status(), 200, "the connection from before goes on");
    fs::remove_file(secure.directory.path().join("b.crt")).unwrap();
    fs::remove_file(secure.directory.path().join("b.key")).unwrap();
    until("a removed one is served no more", || !secure.certificates.covers("b.test")).await;
}

#[tokio::test]
async fn without_tls_a_name_with_a_certificate_is_sent_to_https() {
    let app = App::answering(OK).await;
    let (secure, _) = Secure::of(&app, &[("a", &["a.test"])]).await;
    secure.site.route("plain.test", "v1", &[app.address]);
    secure.site.edge.redirect_to_https(Arc::clone(&secure.certificates), 8443);
    let mut caller = secure.site.caller().await;
    let answer = caller.get("/x?y=1").await;
    assert_eq!(answer.status, 308);
    assert_eq!(answer.header("location"), Some("https://a.test:8443/x?y=1"));
    assert_eq!(caller.get("/.well-known/acme-challenge/t").await.status, 200);
    caller.send("GET / HTTP/1.1\r\nHost: plain.test\r\n\r\n").await;
    assert_eq!(caller.answer().await.status, 200);
}

#[tokio::test]
async fn noise_and_silence_on_the_port_of_tls_end_by_themselves() {
    let app = App::answering(OK).await;
    let (secure, roots) = Secure::of(&app, &[("a", &["a.test"])]).await;
    let mut noise = Caller::connect(secure.address).await;
    noise.send("GET / HTTP/1.1\r\nHost: a.test\r\n\r\n").await;
    noise.rest().await;
    let mut half = TcpStream::connect(secure.address).await.unwrap();
    half.write_all(&[0x16, 3, 1]).await.unwrap();
    until("the first is counted", || secure.site.edge.counters().handshakes_failed == 1).await;
    let stream = secure.connect("a.test", &roots, &[]).await.unwrap();
    assert_eq!(ask(&mut http1(stream).await, "a.test").await.status(), 200);
    // A stop does not wait for a handshake that never ends.
    secure.site.shutdown.cancel();
    within("the stop", secure.site.serving).await.unwrap();
}

#[test]
fn a_directory_that_cannot_be_used_says_which_file_and_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let at = directory.path();
    let said = |at: &Path| Certificates::open(at).err().map(|error| error.to_string()).unwrap_or_default();
    assert!(Certificates::open(at).unwrap().is_empty());
    assert!(said(&at.join("missing")).contains("missing"));
    issue(at, "a", &["a.test"]);
    fs::remove_file(at.join("a.key")).unwrap();
    assert!(said(at).contains("a.key is missing"), "{}", said(at));
    fs::write(at.join("a.key"), "nonsense").unwrap();
    assert!(said(at).contains("no private key"), "{}", said(at));
    let other = tempfile::tempdir().unwrap();
    issue(other.path(), "a", &["a.test"]);
    fs::copy(other.path().join("a.key"), at.join("a.key")).unwrap();
    assert!(said(at).contains("cannot be used together"), "{}", said(at));
}
