//! The cryptography that TLS is done with. The client (eventstore 4.0.0) insists on choosing it for the whole
//! process, when it first connects, and panics when the choice was made; from then on it never works.

use eventstore::{Client, ClientSettings};
use rustls::crypto::CryptoProvider;
use tokio::sync::OnceCell;

/// A client with one attempt gives up before it asks anybody; until then it has chosen.
const NOBODY: &str = "esdb://127.0.0.1:1?tls=false&maxDiscoverAttempts=1";

static CHOSEN: OnceCell<bool> = OnceCell::const_new();

/// Lets the client of `KurrentDB` choose the cryptography of this process. To be called before anything else
/// installs a provider of `rustls`; answers whether the client can be used.
pub async fn prepare() -> bool {
    *CHOSEN.get_or_init(choose).await
}

async fn choose() -> bool {
    if CryptoProvider::get_default().is_some() {
        return false;
    }
    let Some(client) = NOBODY.parse::<ClientSettings>().ok().and_then(|nobody| Client::new(nobody).ok())
    else {
        return false;
    };
    // It has nobody to connect to.
    let _ = client.server_info().await;
    CryptoProvider::get_default().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kurrentdb::{ConnectError, KurrentLog, Settings};

    /// It would panic in the middle of a task and never answer.
    #[tokio::test]
    async fn a_process_that_has_chosen_already_is_told_so() {
        rustls::crypto::ring::default_provider().install_default().unwrap();
        assert!(!prepare().await);
        let error = KurrentLog::connect(&Settings::new("esdb://127.0.0.1:1?tls=false")).await.err();
        assert!(matches!(error, Some(ConnectError::Unprepared)), "{error:?}");
    }
}
