//! TLS for the edge: certificates in a directory, chosen by the name the client asks for.
//!
//! `NAME.crt` (or `.pem`: the chain, the server's own certificate first) and `NAME.key` are a pair. A
//! certificate serves the names in it, `*.example.com` among them; the pair `default` also serves whoever
//! asks for no name or one that nothing covers. The directory is looked at every few seconds: new connections
//! get what is there then, those that are open stay. A pair that is broken while it is replaced changes
//! nothing.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use rustls::ServerConfig;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::time::sleep;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::edge::host;

/// How often the directory is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(2);
/// The pair that serves whoever asks for no name we know.
const DEFAULT: &str = "default";

/// A pair of files that cannot be used. The text says what to do.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The directory, or a file in it.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A certificate without its key, or the other way round.
    #[error(
        "{} is missing: a certificate NAME.crt (or NAME.pem) stands beside its key NAME.key",
        path.display()
    )]
    Half {
        /// What is missing.
        path: PathBuf,
    },
    /// Not what the name says.
    #[error("{} is no {what} in PEM form", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// What is wrong with it.
        #[source]
        source: rustls::pki_types::pem::Error,
    },
    /// The two do not fit, or are of a kind that is not spoken.
    #[error("{} and its certificate cannot be used together", path.display())]
    Pair {
        /// The key's file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: rustls::Error,
    },
    /// A certificate without names.
    #[error("{} names no host: a certificate needs its names as subjectAltName", path.display())]
    Nameless {
        /// The file.
        path: PathBuf,
    },
}

/// The certificates of a directory, as they are now.
pub struct Certificates {
    directory: PathBuf,
    loaded: RwLock<Arc<Loaded>>,
}

#[derive(Default)]
struct Loaded {
    pairs: BTreeMap<String, Pair>,
    by_name: HashMap<String, Arc<CertifiedKey>>,
    fallback: Option<Arc<CertifiedKey>>,
    /// Pairs that could not be read, which was said.
    broken: BTreeSet<String>,
}

#[derive(Clone)]
struct Pair {
    stamp: Stamp,
    key: Arc<CertifiedKey>,
    names: Vec<String>,
}

/// What tells one content of two files from another without reading them.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Stamp([(PathBuf, u64, SystemTime); 2]);

impl Certificates {
    /// Reads the directory.
    ///
    /// # Errors
    /// [`TlsError`] for the first file that cannot be used.
    pub fn open(directory: impl Into<PathBuf>) -> Result<Arc<Self>, TlsError> {
        let directory = directory.into();
        let mut pairs = BTreeMap::new();
        for (name, stamp) in found(&directory)? {
            pairs.insert(name, read(stamp?)?);
        }
        let loaded = RwLock::new(Arc::new(Loaded::of(pairs)));
        Ok(Arc::new(Self { directory, loaded }))
    }

    /// Keeps up with the directory until it is told to stop.
    pub async fn watch(self: Arc<Self>, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = sleep(LOOK_EVERY) => {}
            }
            let this = Arc::clone(&self);
            let looked = tokio::task::spawn_blocking(move || this.look()).await;
            if let Err(error) = looked {
                warn!(error = %error, "certificates are looked at again in a moment");
            }
        }
    }

    /// Whether there is a certificate for a hostname.
    #[must_use]
    pub fn covers(&self, hostname: &str) -> bool {
        self.loaded().named(&host::name(hostname)).is_some()
    }

    /// Whether there is none at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.loaded().pairs.is_empty()
    }

    /// What turns a client's connection into one of TLS, version 1.2 or 1.3.
    ///
    /// # Errors
    /// [`rustls::Error`] when this build has no such protocol.
    pub fn acceptor(self: &Arc<Self>) -> Result<TlsAcceptor, rustls::Error> {
        let resolver = Arc::new(ByName(Arc::clone(self)));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let mut config = config.with_no_client_auth().with_cert_resolver(resolver);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(TlsAcceptor::from(Arc::new(config)))
    }

    fn loaded(&self) -> Arc<Loaded> {
        Arc::clone(&self.loaded.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads what has changed. A pair that cannot be read stays as it was.
    fn look(&self) {
        let before = self.loaded();
        let found = match found(&self.directory) {
            Ok(found) => found,
            Err(error) => {
                warn!(error = &error as &dyn std::error::Error, "certificates stay as they are");
                return;
            }
        };
        let (mut pairs, mut broken, mut changed) = (BTreeMap::new(), BTreeSet::new(), false);
        for (name, stamp) in found {
            let known = before.pairs.get(&name);
            let fresh = match stamp {
                Ok(stamp) if known.is_some_and(|known| known.stamp == stamp) => None,
                Ok(stamp) => Some(read(stamp)),
                Err(error) => Some(Err(error)),
            };
            match (fresh, known) {
                (Some(Ok(pair)), _) => {
                    info!("the certificate {name} is used from now on: {}", pair.names.join(", "));
                    changed = true;
                    pairs.insert(name, pair);
                }
                (None, known) => pairs.extend(known.map(|known| (name, known.clone()))),
                (Some(Err(error)), known) => {
                    if !before.broken.contains(&name) {
                        let error = &error as &dyn std::error::Error;
                        warn!(error, "the certificate {name} cannot be used; what was there before stays");
                    }
                    broken.insert(name.clone());
                    pairs.extend(known.map(|known| (name, known.clone())));
                }
            }
        }
        if changed || broken != before.broken || !pairs.keys().eq(before.pairs.keys()) {
            *self.loaded.write().unwrap_or_else(PoisonError::into_inner) =
                Arc::new(Loaded { broken, ..Loaded::of(pairs) });
        }
    }
}

impl Loaded {
    fn of(pairs: BTreeMap<String, Pair>) -> Self {
        let mut by_name = HashMap::new();
        for pair in pairs.values() {
            for name in &pair.names {
                by_name.entry(name.clone()).or_insert_with(|| Arc::clone(&pair.key));
            }
        }
        let fallback = pairs.get(DEFAULT).map(|pair| Arc::clone(&pair.key));
        Self { pairs, by_name, fallback, broken: BTreeSet::new() }
    }

    /// The certificate with exactly this name in it, or else with a star for its first label.
    fn named(&self, hostname: &str) -> Option<&Arc<CertifiedKey>> {
        let starred = || {
            let (_, rest) = hostname.split_once('.')?;
            self.by_name.get(&format!("*.{rest}"))
        };
        self.by_name.get(hostname).or_else(starred)
    }
}

/// The pairs of a directory: names and what their files look like.
fn found(directory: &Path) -> Result<BTreeMap<String, Result<Stamp, TlsError>>, TlsError> {
    let unreadable = |path: &Path| {
        let path = path.to_owned();
        move |source| TlsError::Read { path, source }
    };
    let mut chains: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut keys: BTreeMap<String, PathBuf> = BTreeMap::new();
    for entry in fs::read_dir(directory).map_err(unreadable(directory))? {
        let path = entry.map_err(unreadable(directory))?.path();
        let Some(stem) = path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned) else { continue };
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("crt" | "pem") => chains.insert(stem, path),
            Some("key") => keys.insert(stem, path),
            _ => None,
        };
    }
    let names: Vec<String> = chains.keys().chain(keys.keys()).cloned().collect();
    let stamped = |name: &String| {
        let missing = |ending| TlsError::Half { path: directory.join(format!("{name}.{ending}")) };
        let chain = chains.get(name).ok_or_else(|| missing("crt"))?;
        let key = keys.get(name).ok_or_else(|| missing("key"))?;
        let stamp = |path: &PathBuf| {
            let file = fs::metadata(path).map_err(unreadable(path))?;
            Ok((path.clone(), file.len(), file.modified().map_err(unreadable(path))?))
        };
        Ok(Stamp([stamp(chain)?, stamp(key)?]))
    };
    Ok(names.iter().map(|name| (name.clone(), stamped(name))).collect())
}

fn read(stamp: Stamp) -> Result<Pair, TlsError> {
    let [(chain_path, ..), (key_path, ..)] = &stamp.0;
    let not_pem = |path: &Path, what| {
        let path = path.to_owned();
        move |source| TlsError::Pem { path, what, source }
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(chain_path)
        .and_then(Iterator::collect)
        .map_err(not_pem(chain_path, "certificate"))?;
    let key = PrivateKeyDer::from_pem_file(key_path).map_err(not_pem(key_path, "private key"))?;
    let names = names(&chain).ok_or_else(|| TlsError::Nameless { path: chain_path.clone() })?;
    let provider: CryptoProvider = rustls::crypto::ring::default_provider();
    let key = CertifiedKey::from_der(chain, key, &provider)
        .map_err(|source| TlsError::Pair { path: key_path.clone(), source })?;
    Ok(Pair { stamp, key: Arc::new(key), names })
}

/// The names in the first certificate of a chain; `None` when there are none.
fn names(chain: &[CertificateDer<'_>]) -> Option<Vec<String>> {
    let certificate = webpki::EndEntityCert::try_from(chain.first()?).ok()?;
    let names: Vec<String> = certificate.valid_dns_names().map(str::to_ascii_lowercase).collect();
    (!names.is_empty()).then_some(names)
}

/// Chooses by the name in the client's first message.
struct ByName(Arc<Certificates>);

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ByName")
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let loaded = self.0.loaded();
        let named = hello.server_name().and_then(|name| loaded.named(&host::name(name)).cloned());
        named.or_else(|| loaded.fallback.clone())
    }
}
