//! Which servers and streams are trusted.

use eventlog::jetstream::{ConnectError, JetStreamLog, JetStreamQueue, Settings};
use serde_json::json;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;

use crate::nats::server::Server;
use crate::nats::{self, Cleanup, engine, one_server};

async fn refusal(settings: &Settings) -> ConnectError {
    JetStreamLog::connect(settings).await.err().expect("it was connected")
}

fn lax_server() -> Settings {
    Settings {
        urls: engine("SWITCHBACK_TEST_NATS_LAX"),
        monitors: vec![engine("SWITCHBACK_TEST_NATS_LAX_MONITOR")],
        ..one_server()
    }
}

#[tokio::test]
async fn a_lone_server_that_does_not_sync_is_refused() {
    let error = refusal(&lax_server()).await;
    assert!(matches!(error, ConnectError::LosesOnPowerCut { .. }), "{error:?}");
    assert!(error.to_string().contains("sync_interval: always"), "{error}");
    let error = JetStreamQueue::connect(&lax_server()).await.err().unwrap();
    assert!(matches!(error, ConnectError::LosesOnPowerCut { .. }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_server_that_does_not_sync_is_taken_when_the_loss_is_accepted() {
    let settings = Settings { accept_loss_on_power_cut: true, ..lax_server() };
    let _cleanup = Cleanup(settings.clone());
    JetStreamLog::connect(&settings).await.unwrap();
}

#[tokio::test]
async fn a_lone_server_of_which_nobody_says_whether_it_syncs_is_refused() {
    let settings = Settings { monitors: vec![], ..one_server() };
    let error = refusal(&settings).await;
    assert!(matches!(error, ConnectError::NotProven), "{error:?}");
}

/// Without a port for HTTP: the account may ask, by NATS itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_lone_server_may_say_itself_that_it_syncs() {
    for (sync, is_taken) in [("sync_interval: always", true), ("", false)] {
        let dir = tempfile::tempdir().unwrap();
        let configuration = dir.path().join("nats.conf");
        let accounts = "accounts {
            $SYS { exports = [{ service: \"$SYS.REQ.SERVER.PING.JSZ\", response_type: stream }] }
            SWITCHBACK {
                jetstream: enabled
                users = [{ user: switchback, password: secret }]
                imports = [{ service: { account: \"$SYS\", subject: \"$SYS.REQ.SERVER.PING.JSZ\" } }]
            }
        }";
        let text = format!(
            "server_name: $NATS_NAME\nlisten: $NATS_LISTEN\n\
             jetstream {{ store_dir: $NATS_STORE\n{sync} }}\n{accounts}"
        );
        std::fs::write(&configuration, text).unwrap();
        let server = Server::with(&configuration, dir.path());
        let urls = server.url().replace("nats://", "nats://switchback:secret@");
        let connected = JetStreamLog::connect(&Settings::new(&urls)).await;
        assert_eq!(connected.is_ok(), is_taken, "{:?}", connected.err());
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_told() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = refusal(&Settings::new(&format!("nats://{address}"))).await;
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_server_that_is_too_old_is_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("nats://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let info =
                json!({ "server_name": "old", "version": "2.12.3", "max_payload": 1 << 20, "headers": true });
            let (reader, mut writer) = stream.split();
            writer.write_all(format!("INFO {info}\r\n").as_bytes()).await.unwrap();
            let mut lines = BufReader::new(reader).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.starts_with("PING") {
                    writer.write_all(b"PONG\r\n").await.unwrap();
                }
            }
        }
    });
    let error = refusal(&Settings::new(&url)).await;
    assert!(matches!(error, ConnectError::TooOld { wanted: "2.12.4", .. }), "{error:?}");
    assert!(error.to_string().contains("2.12.3"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_somebody_changed_is_refused_by_the_name_of_what_was_changed() {
    let settings = one_server();
    let _cleanup = Cleanup(settings.clone());
    JetStreamLog::connect(&settings).await.unwrap();
    JetStreamLog::connect(&settings).await.unwrap();
    let context = nats::context(&settings).await;
    let mut stream = context.get_stream(nats::stream(&settings, "EVENTS")).await.unwrap();
    let mut config = stream.info().await.unwrap().config.clone();
    config.max_age = std::time::Duration::from_secs(3600);
    context.update_stream(config).await.unwrap();
    let error = refusal(&settings).await;
    assert!(matches!(error, ConnectError::Drifted { field: "max_age", .. }), "{error:?}");
}

#[tokio::test]
async fn settings_that_are_none_are_refused() {
    for settings in [
        Settings { prefix: "a.b".to_owned(), ..one_server() },
        Settings { prefix: String::new(), ..one_server() },
        Settings { urls: "not a url".to_owned(), ..one_server() },
    ] {
        let error = refusal(&settings).await;
        assert!(matches!(error, ConnectError::Setting { .. }), "{error:?}");
    }
}

/// Going the other way, somebody has to mean it.
#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_added_when_the_setting_asks_for_more_and_never_taken_away() {
    let three = nats::three_servers();
    let _cleanup = Cleanup(three.clone());
    let one = Settings { replicas: 1, accept_loss_on_power_cut: true, ..three.clone() };
    JetStreamLog::connect(&one).await.unwrap();
    JetStreamLog::connect(&three).await.unwrap();
    let context = nats::context(&three).await;
    let mut stream = context.get_stream(nats::stream(&three, "EVENTS")).await.unwrap();
    assert_eq!(stream.info().await.unwrap().config.num_replicas, 3);
    let error = refusal(&one).await;
    assert!(matches!(error, ConnectError::Drifted { field: "num_replicas", .. }), "{error:?}");
}
