//! How the daemon ends when it cannot run, or is told to stop twice: exit codes that scripts can tell
//! apart, and a reason on stderr.

use std::fs;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tapeline::proto::v1::{GetStatsRequest, WatchAllRequest};

use super::stream::{Watch, eventually};
use super::support::append::{batch, creation, custom};
use super::support::daemon::{Daemon, exit_of};

/// What happens to the bytes of a file.
type Damage = fn(&mut Vec<u8>);

/// A daemon that was killed after it had something to keep.
async fn killed() -> Daemon {
    let mut daemon = Daemon::start();
    daemon.client().create_execution(creation("one")).await.expect("new");
    daemon.client().append(batch("one", vec![custom(vec![7; 20_000])])).await.expect("fine");
    daemon.kill();
    daemon
}

#[tokio::test]
async fn a_second_daemon_on_the_same_directory_ends_with_75_and_the_first_goes_on() {
    let daemon = Daemon::start();
    let (code, stderr) = exit_of(&mut daemon.command(), &daemon.path("second"));
    assert_eq!(code, Some(75), "{stderr}");
    assert!(stderr.contains("in use"), "{stderr}");
    daemon.client().create_execution(creation("one")).await.expect("unharmed");
}

#[tokio::test]
async fn a_store_that_is_truncated_emptied_or_overwritten_ends_the_start_with_76_and_is_left_as_it_is() {
    let truncate: Damage = |bytes| bytes.truncate(bytes.len() / 2);
    let empty: Damage = |bytes| bytes.clear();
    let overwrite: Damage = |bytes| bytes[..4_096].fill(0xa5);
    let damages = [("truncated", truncate), ("emptied", empty), ("overwritten", overwrite)];
    let files = ["journal.redb", "archive.redb"];
    let damages = files.into_iter().flat_map(|name| damages.map(|(what, damage)| (what, name, damage)));
    let daemon = killed().await;
    for (what, name, damage) in damages {
        let file = daemon.data_dir().join(name);
        let sound = fs::read(&file).expect("it is there");
        let mut bytes = sound.clone();
        damage(&mut bytes);
        fs::write(&file, &bytes).expect("it can be written");
        let (code, stderr) = exit_of(&mut daemon.command(), &daemon.path("start"));
        assert_eq!(code, Some(76), "{name} {what}: {stderr}");
        assert!(stderr.contains("damaged"), "{name} {what}: {stderr}");
        fs::write(&file, &sound).expect("it can be written");
    }
    let mut daemon = daemon;
    daemon.start_again();
    daemon.client().append(batch("one", vec![custom("x")])).await.expect("all is well again");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_ends_with_78_and_says_what_is_wrong() {
    let daemon = killed().await;
    for (config, said) in [
        ("lisen = '127.0.0.1:0'", "listen"),
        ("[limits]\nwatchers_max = 0", "limits.watchers_max"),
        ("[log]\nlevel = 'a=b=c'", "log.level"),
        ("not toml", "tapeline.toml"),
    ] {
        let file = daemon.path("tapeline.toml");
        fs::write(&file, config).expect("it can be written");
        let mut command = daemon.command();
        if config.contains("level") {
            command.env_remove("TAPELINE_LOG_LEVEL");
        }
        let (code, stderr) = exit_of(command.arg("--config").arg(&file), &daemon.path("start"));
        assert_eq!(code, Some(78), "{config}: {stderr}");
        assert!(stderr.contains(said), "{config}: {stderr}");
    }
    let missing = daemon.path("nowhere.toml");
    let (code, stderr) = exit_of(daemon.command().arg("--config").arg(missing), &daemon.path("start"));
    assert_eq!(code, Some(78), "{stderr}");
}

#[test]
fn an_address_that_others_can_reach_is_refused_with_78() {
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:50051"] {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tapeline"));
        command.args(["serve", "--listen", listen, "--data-dir"]).arg(dir.path().join("data"));
        let (code, stderr) = exit_of(&mut command, &dir.path().join("stderr"));
        assert_eq!(code, Some(78), "{listen}: {stderr}");
        assert!(stderr.contains("loopback"), "{listen}: {stderr}");
        assert!(!dir.path().join("data").exists(), "{listen}: nothing was begun");
    }
}

#[test]
fn an_address_that_is_taken_is_an_error_of_the_system_with_74() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let dir = tempfile::tempdir().expect("a temporary directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_tapeline"));
    let listen = taken.local_addr().expect("it has one").to_string();
    command.args(["serve", "--listen", &listen, "--data-dir"]).arg(dir.path().join("data"));
    let (code, stderr) = exit_of(&mut command, &dir.path().join("stderr"));
    assert_eq!(code, Some(74), "{stderr}");
    assert!(stderr.contains(&listen), "{stderr}");
}

/// The stop waits for a client that has begun a request and does not finish it; a second signal does
/// not. The journal's slow sync makes the stop long enough to be interrupted.
#[tokio::test]
async fn a_second_signal_ends_the_daemon_at_once() {
    let mut daemon = Daemon::start_faulty();
    let mut client = daemon.client();
    client.create_execution(creation("one")).await.expect("new");
    let mut watch = Watch::open_all(&client, WatchAllRequest::default()).await.expect("there");
    daemon.script("journal sync_data delay 60000");
    let pending = tokio::spawn(async move { client.append(batch("one", vec![custom("x")])).await });
    // The watch's end says that the first signal has arrived.
    eventually("the append has begun", async || {
        let stats = daemon.admin().get_stats(GetStatsRequest {}).await.expect("fine").into_inner();
        stats.queued_requests > 0
    })
    .await;
    daemon.signal(Signal::TERM);
    watch.error().await;
    let asked = Instant::now();
    daemon.signal(Signal::INT);
    let status = tokio::task::spawn_blocking(move || daemon.ended()).await.expect("no panic");
    assert_eq!(status.code(), Some(130));
    assert!(asked.elapsed() < Duration::from_secs(2), "it took {:?}", asked.elapsed());
    assert!(pending.await.expect("no panic").is_err());
}
