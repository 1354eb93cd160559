//! Registries that refuse, are full, are away, and break off.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use domain::secret::Secret;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::AbortOnDropHandle;
use workers::registry::Registry;
use workers::registry::oci::Credentials;

use super::{build, collect, files, host, located, push, pushed, registry_at};
use crate::builder::Workshop;

/// Something that listens where a registry is expected.
struct Stand {
    address: SocketAddr,
    _serving: AbortOnDropHandle<()>,
}

impl Stand {
    fn host(&self) -> String {
        self.address.to_string()
    }

    /// Answers every request like this.
    async fn answering(answer: &'static str) -> Self {
        Self::serving(move |mut stream| async move {
            let mut request = vec![0; 16 * 1024];
            while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    break;
                }
            }
        })
        .await
    }

    /// Passes on to the real registry until so many bytes have come from a client, then breaks off, and is
    /// whole again when it is told.
    async fn breaking(after: usize, whole: Arc<AtomicUsize>) -> Self {
        Self::serving(move |mut stream| {
            let whole = Arc::clone(&whole);
            async move {
                let Ok(mut registry) = TcpStream::connect(host()).await else { return };
                if whole.load(Ordering::SeqCst) > 0 {
                    let _ = copy_bidirectional(&mut stream, &mut registry).await;
                    return;
                }
                let (mut from, mut to) = stream.split();
                let (mut answers, mut requests) = registry.split();
                let up = async {
                    let (mut bytes, mut piece) = (0, vec![0; 4096]);
                    while let Ok(read) = from.read(&mut piece).await {
                        bytes += read;
                        if read == 0 || bytes > after || requests.write_all(&piece[..read]).await.is_err() {
                            break;
                        }
                    }
                };
                tokio::select! {
                    () = up => {}
                    _ = tokio::io::copy(&mut answers, &mut to) => {}
                }
            }
        })
        .await
    }

    async fn serving<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream));
            }
        });
        Self { address, _serving: AbortOnDropHandle::new(serving) }
    }
}

const DENIED: &str = "HTTP/1.1 403 Forbidden\r\ncontent-type: application/json\r\ncontent-length: 53\r\n\r\n\
                      {\"errors\":[{\"code\":\"DENIED\",\"message\":\"not allowed\"}]}";
const UNAUTHORIZED: &str = "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\
                            www-authenticate: Basic realm=\"x\"\r\ncontent-length: 54\r\n\r\n\
                            {\"errors\":[{\"code\":\"UNAUTHORIZED\",\"message\":\"no user\"}]}";
const FULL: &str = "HTTP/1.1 507 Insufficient Storage\r\ncontent-length: 0\r\n\r\n";
const BROKEN: &str = "HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";

#[tokio::test]
async fn a_registry_that_refuses_says_why_and_hears_no_token_twice() {
    let credentials = Credentials { user: "robot".into(), token: Secret::new("token-of-the-robot") };
    for (answer, code, permanent) in [
        (DENIED, "registry_denied", true),
        (UNAUTHORIZED, "registry_denied", true),
        (FULL, "registry_full", false),
        (BROKEN, "registry_unavailable", false),
    ] {
        let stand = Stand::answering(answer).await;
        let workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
        workshop.built().await;
        let registry = registry_at(&workshop, &stand.host(), Some(credentials.clone()));
        let error = push(&workshop, &registry, "recipe").await.unwrap_err();
        assert_eq!((error.code, error.permanent), (code, permanent), "{error} {:?}", error.source);
        assert!(!format!("{error} {error:?} {registry:?}").contains("token-of-the-robot"), "{error:?}");
        // A registry that does not answer keeps nobody from building.
        assert_eq!(registry.find(workshop.request.service, "recipe").await.unwrap(), None);
        assert!(workshop.exists().await, "what was not pushed is still there");
    }
}

#[tokio::test]
async fn a_registry_that_is_away_is_tried_again() {
    let workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
    workshop.built().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let nobody = listener.local_addr().unwrap().to_string();
    drop(listener);
    let registry = registry_at(&workshop, &nobody, None);
    let error = push(&workshop, &registry, "recipe").await.unwrap_err();
    assert_eq!((error.code, error.permanent), ("registry_unavailable", false), "{error}");
    assert_eq!(registry.check().await.unwrap_err().code, "registry_unavailable");
}

#[tokio::test]
async fn a_push_that_breaks_off_is_no_push_and_is_done_the_next_time() {
    let file = "FROM switchback-test/busybox\nRUN head -c 3000000 /dev/urandom > /random\n";
    let workshop = Workshop::new(&[("Dockerfile", file)]);
    let plan = workshop.built().await;
    let whole = Arc::new(AtomicUsize::new(0));
    let stand = Stand::breaking(200_000, Arc::clone(&whole)).await;
    let registry = registry_at(&workshop, &stand.host(), None);
    let error = push(&workshop, &registry, "recipe").await.unwrap_err();
    assert!(!error.permanent, "{error} {:?}", error.source);
    let direct = registry_at(&workshop, &host(), None);
    assert_eq!(direct.find(workshop.request.service, "recipe").await.unwrap(), None);
    whole.store(1, Ordering::SeqCst);
    let digest = push(&workshop, &registry, "recipe").await.unwrap();
    located(&registry, &workshop, &build(&workshop, &digest, &plan)).await.unwrap();
    collect(&direct, &workshop, &[]).await;
}

#[tokio::test]
async fn what_is_here_runs_while_the_registry_is_away() {
    let workshop = Workshop::new(&[("Dockerfile", &files("one"))]);
    let whole = Arc::new(AtomicUsize::new(1));
    let stand = Stand::breaking(0, Arc::clone(&whole)).await;
    let registry = registry_at(&workshop, &stand.host(), None);
    let (digest, plan) = pushed(&workshop, &registry, "recipe").await;
    whole.store(0, Ordering::SeqCst);
    located(&registry, &workshop, &build(&workshop, &digest, &plan)).await.unwrap();
    let direct = registry_at(&workshop, &host(), None);
    collect(&direct, &workshop, &[]).await;
}
