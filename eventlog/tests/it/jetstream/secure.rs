//! Connections that are encrypted, and accounts: by a file of credentials, by a token, by a password.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use eventlog::commit::Head;
use eventlog::conformance::{commit, fresh_stream};
use eventlog::jetstream::{ConnectError, JetStreamLog, Settings, Tls};
use eventlog::log::EventLog as _;
use nkeys::KeyPair;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair as CertificateKey};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::nats::server::Server;

const COMMON: &str = "server_name: $NATS_NAME\nlisten: $NATS_LISTEN\nhttp: $NATS_MONITOR\n\
                      jetstream { store_dir: $NATS_STORE, sync_interval: always }\n";

async fn start(dir: &Path, more: &str) -> Server {
    // The tests of KurrentDB run in this process too, and its client has to be first.
    assert!(eventlog::kurrentdb::prepare().await);
    let configuration = dir.join("nats.conf");
    fs::write(&configuration, format!("{COMMON}{more}")).unwrap();
    Server::with(&configuration, dir)
}

fn settings(server: &Server, url: &str) -> Settings {
    Settings { monitors: vec![server.monitor_url()], ..Settings::new(url) }
}

async fn must_append(settings: &Settings) {
    let log = JetStreamLog::connect(settings).await.unwrap();
    log.append(&commit(fresh_stream(), "1"), Head::EMPTY).await.unwrap();
}

/// That, and what stands under it.
fn all_of(err: &dyn std::error::Error) -> String {
    let mut text = err.to_string();
    let mut source = err.source();
    while let Some(err) = source {
        text = format!("{text}: {err}");
        source = err.source();
    }
    text
}

async fn refusal(settings: &Settings) -> (ConnectError, String) {
    let refused = JetStreamLog::connect(settings).await.err().expect("it was connected");
    let text = format!("{} {settings:?} {refused:?}", all_of(&refused));
    (refused, text)
}

/// An authority of our own, a server that it knows, and a client.
struct Certificates {
    dir: TempDir,
}

impl Certificates {
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut authority = CertificateParams::new(vec![]).unwrap();
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = CertificateKey::generate().unwrap();
        fs::write(dir.path().join("authority.pem"), authority.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = Issuer::new(authority, key);
        for name in ["server", "client"] {
            let names = vec!["127.0.0.1".to_owned(), name.to_owned()];
            let key = CertificateKey::generate().unwrap();
            let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &issuer).unwrap();
            fs::write(dir.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
            fs::write(dir.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
        }
        Self { dir }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn server(&self, more: &str) -> String {
        let path = |name: &str| self.path(name).display().to_string();
        let (certificate, key) = (path("server.pem"), path("server.key"));
        format!("tls {{ cert_file: {certificate:?}, key_file: {key:?}, {more} }}")
    }

    fn client(&self) -> Option<(PathBuf, PathBuf)> {
        Some((self.path("client.pem"), self.path("client.key")))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_a_certificate_of_our_authority_is_trusted_and_no_other() {
    let (dir, certificates) = (tempfile::tempdir().unwrap(), Certificates::new());
    let server = start(dir.path(), &certificates.server("")).await;
    let url = server.url().replace("nats://", "tls://");
    let ours = Tls { authority: Some(certificates.path("authority.pem")), client: None };
    must_append(&Settings { tls: ours.clone(), ..settings(&server, &url) }).await;
    // Named by the authority alone, it is encrypted too.
    must_append(&Settings { tls: ours, ..settings(&server, &server.url()) }).await;
    let other = Tls { authority: Some(Certificates::new().path("authority.pem")), client: None };
    for tls in [Tls::default(), other] {
        let (refused, text) = refusal(&Settings { tls, ..settings(&server, &url) }).await;
        assert!(matches!(refused, ConnectError::Unreachable { .. } | ConnectError::File { .. }), "{text}");
    }
}

/// Not when it offers less than was asked for.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_encrypted_is_refused_when_it_has_to_be() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path(), "").await;
    let url = server.url().replace("nats://", "tls://user:hunter2@");
    let (refused, text) = refusal(&settings(&server, &url)).await;
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{text}");
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_asks_for_our_certificate_gets_it() {
    let (dir, certificates) = (tempfile::tempdir().unwrap(), Certificates::new());
    let authority = certificates.path("authority.pem");
    let verify = format!("ca_file: {:?}, verify: true", authority.display().to_string());
    let server = start(dir.path(), &certificates.server(&verify)).await;
    let tls = Tls { authority: Some(authority), client: certificates.client() };
    must_append(&Settings { tls: tls.clone(), ..settings(&server, &server.url()) }).await;
    let without = Tls { client: None, ..tls.clone() };
    let (refused, text) = refusal(&Settings { tls: without, ..settings(&server, &server.url()) }).await;
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{text}");
    let absent = Tls { client: Some((certificates.path("none.pem"), certificates.path("none.key"))), ..tls };
    let (refused, text) = refusal(&Settings { tls: absent, ..settings(&server, &server.url()) }).await;
    assert!(matches!(refused, ConnectError::File { what: "the client's certificate", .. }), "{text}");
    assert!(text.contains("none.pem"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_and_a_password_reach_the_server_and_are_shown_nowhere() {
    for (authorization, right, wrong) in [
        ("authorization { token: \"s3cr t\" }", "s3cr%20t@", "oth3r@"),
        ("authorization { user: me, password: \"p@ss/w\" }", "me:p%40ss%2Fw@", "me:oth3r@"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let server = start(dir.path(), authorization).await;
        let url = |login: &str| server.url().replace("nats://", &format!("nats://{login}"));
        must_append(&settings(&server, &url(right))).await;
        let (refused, text) = refusal(&settings(&server, &url(wrong))).await;
        assert!(matches!(refused, ConnectError::Unreachable { .. }), "{text}");
        assert!(!text.contains("oth3r"), "{text}");
    }
}

/// A token of NATS's own: who issues it, about whom, and what he may.
fn token(issuer: &KeyPair, subject: &KeyPair, name: &str, nats: Value) -> String {
    let claims = json!({
        "jti": name, "iat": 1_700_000_000, "iss": issuer.public_key(), "sub": subject.public_key(),
        "name": name, "nats": nats,
    });
    let header = json!({ "typ": "JWT", "alg": "ed25519-nkey" });
    let encoded = [header, claims].map(|part| BASE64.encode(part.to_string())).join(".");
    let signature = BASE64.encode(issuer.sign(encoded.as_bytes()).unwrap());
    format!("{encoded}.{signature}")
}

fn account(operator: &KeyPair, account: &KeyPair, name: &str) -> String {
    let mut limits = json!({
        "subs": -1, "data": -1, "payload": -1, "imports": -1, "exports": -1, "wildcards": true, "conn": -1,
        "leaf": -1,
    });
    // The system account may have no streams.
    if name != "SYS" {
        for limit in ["mem_storage", "disk_storage", "streams", "consumer"] {
            limits[limit] = json!(-1);
        }
    }
    token(operator, account, name, json!({ "type": "account", "version": 2, "limits": limits }))
}

fn credentials(account: &KeyPair, user: &KeyPair) -> String {
    let rights = json!({ "type": "user", "version": 2, "subs": -1, "data": -1, "payload": -1 });
    let (token, seed) = (token(account, user, "switchback", rights), user.seed().unwrap());
    format!(
        "-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n------END USER NKEY SEED------\n"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_credentials_opens_its_account_and_is_shown_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let (operator, system, ours) = (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let root = token(
        &operator,
        &operator,
        "root",
        json!({
            "type": "operator", "version": 2, "system_account": system.public_key(),
        }),
    );
    let preloaded = [(&system, "SYS"), (&ours, "OURS")]
        .map(|(key, name)| format!("{}: {}", key.public_key(), account(&operator, key, name)))
        .join("\n");
    let more = format!(
        "operator: {root}\nsystem_account: {}\nresolver: MEMORY\nresolver_preload {{\n{preloaded}\n}}",
        system.public_key()
    );
    let server = start(dir.path(), &more).await;
    let user = KeyPair::new_user();
    let file = dir.path().join("ours.creds");
    fs::write(&file, credentials(&ours, &user)).unwrap();
    must_append(&Settings { credentials: Some(file), ..settings(&server, &server.url()) }).await;
    // One that another account's key has signed.
    let file = dir.path().join("strange.creds");
    fs::write(&file, credentials(&KeyPair::new_account(), &user)).unwrap();
    let strange = Settings { credentials: Some(file), ..settings(&server, &server.url()) };
    let (refused, text) = refusal(&strange).await;
    assert!(matches!(refused, ConnectError::Unreachable { .. }), "{text}");
    assert!(!text.contains(&user.seed().unwrap()), "{text}");
    let absent = Settings { credentials: Some(dir.path().join("none.creds")), ..strange };
    let (refused, text) = refusal(&absent).await;
    assert!(matches!(refused, ConnectError::File { what: "the credentials", .. }), "{text}");
}
