//! The daemon: opens the store, wires the parts, serves until it is told to stop or a part of it fails.
//! It decides the order in which things begin and end, and nothing else.

mod accept;
mod services;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tapeline_storage::{EventStore, OpenError, OpenOptions, RedbStore, StoreId};
use tokio::net::TcpListener;

use crate::agentexecution::Controller;
use crate::agentexecution::state::{SnapshotKeeper, Snapshots, States, snapshot_hook};
use crate::append::Appender;
use crate::broker::Broker;
use crate::config::Config;
use crate::execution::rules::ExecutionRules;
use crate::limits::{FAIL_MAX, STOP_MAX};
use crate::shutdown::StopSignals;
use crate::watch::{EndCause, Watches};
use accept::Connections;
use services::Health;

/// How much of [`STOP_MAX`] the connections get; the rest is for the store.
const CONNECTIONS_STOP_MAX: Duration = STOP_MAX.saturating_sub(Duration::from_millis(1_500));

/// Why the daemon does not run, or runs no more.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DaemonError {
    /// The store does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {source}")]
    Listen {
        /// Which address.
        addr: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The operating system failed a call at the start.
    #[error("cannot {action}: {source}")]
    System {
        /// What was tried, a verb phrase.
        action: &'static str,
        /// Its answer.
        source: std::io::Error,
    },
    /// The store has failed. What was acknowledged is on disk.
    #[error("the store in {} has failed: {why}", data_dir.display())]
    StoreFailed {
        /// The data directory.
        data_dir: PathBuf,
        /// What happened.
        why: String,
    },
    /// Nothing is handed out to watchers any more. The store is closed as at a stop.
    #[error("the broker's thread has panicked: {why}")]
    BrokerFailed {
        /// The words of the panic.
        why: String,
    },
    /// A second signal came while the daemon was stopping.
    #[error("stopped at once by {0}")]
    Interrupted(&'static str),
}

impl DaemonError {
    /// The exit code of the process: 70 a panic inside, 74 the system failed, 75 the data directory is in
    /// use, 76 the store cannot be read, 78 the configuration cannot be used, 130 a second signal.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Open(OpenError::InUse { .. }) => 75,
            Self::Open(OpenError::Damaged { .. } | OpenError::NewerFormat { .. }) => 76,
            Self::Open(_) | Self::Listen { .. } | Self::System { .. } | Self::StoreFailed { .. } => 74,
            Self::BrokerFailed { .. } => 70,
            Self::Interrupted(_) => 130,
        }
    }
}

/// Runs a daemon until a signal stops it or a part of it fails. `ready` is called once, when clients can
/// connect.
pub async fn run(config: Config, ready: impl FnOnce(SocketAddr, StoreId)) -> Result<(), DaemonError> {
    raise_file_limit();
    let mut signals = StopSignals::listen()
        .map_err(|source| DaemonError::System { action: "take signals over", source })?;
    let broker = Broker::start()
        .map_err(|source| DaemonError::System { action: "start the broker's thread", source })?;
    Daemon::open(config, broker).await?.serve(&mut signals, ready).await
}

struct Daemon {
    config: Config,
    store: Arc<dyn EventStore>,
    broker: Broker,
    appender: Appender,
    watches: Watches,
    services: tonic::service::Routes,
    health: Health,
    _keeper: SnapshotKeeper,
}

impl Daemon {
    async fn open(config: Config, broker: Broker) -> Result<Self, DaemonError> {
        let mut options = OpenOptions::new(&config.data_dir);
        options.rules = Arc::new(ExecutionRules);
        let (hook, wishes) = snapshot_hook(broker.hook());
        options.hook = Arc::new(hook);
        let opening = tokio::task::spawn_blocking(move || RedbStore::open(options));
        let store = match opening.await {
            Ok(store) => store?,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        };
        let store: Arc<dyn EventStore> = Arc::new(store);
        let appender = Appender::new(store.clone());
        let watches = Watches::limited_to(config.watchers_max, store.clone(), broker.clone());
        let snapshots = open_snapshots(&config, store.store_id()).await;
        let states = States::new(store.clone(), snapshots);
        let keeper = SnapshotKeeper::start(states.clone(), wishes);
        let controller =
            Controller::new(store.clone(), appender.clone(), broker.clone(), watches.clone(), states);
        let (services, health) = services::services(&store, &appender, &watches, &controller);
        Ok(Self { config, store, broker, appender, watches, services, health, _keeper: keeper })
    }

    /// Serves until a signal comes or a part of it fails.
    async fn serve(
        self,
        signals: &mut StopSignals,
        ready: impl FnOnce(SocketAddr, StoreId),
    ) -> Result<(), DaemonError> {
        let listener = self.listen().await?;
        let addr = listener.local_addr().map_err(|source| self.listen_error(source))?;
        let connections = Connections::serve(listener, self.services.clone(), self.config.connections_max);
        self.health.serving().await;
        tracing::info!(%addr, store_id = %self.store.store_id(), data_dir = %self.config.data_dir.display(), "ready");
        ready(addr, self.store.store_id());

        let mut store_failed = self.store.failed();
        let ended = tokio::select! {
            why = &mut store_failed => return Err(self.fail(why, connections).await),
            why = self.broker.failed() => {
                tracing::error!(why, "the broker's thread has panicked; the daemon ends");
                Err(DaemonError::BrokerFailed { why })
            }
            signal = signals.next() => {
                tracing::info!(signal, "stopping");
                Ok(())
            }
        };
        tokio::select! {
            () = self.stop(connections) => match store_failed.now_or_never() {
                Some(why) => Err(self.store_failed(why)),
                None => ended,
            },
            signal = signals.next() => Err(DaemonError::Interrupted(signal)),
        }
    }

    async fn listen(&self) -> Result<TcpListener, DaemonError> {
        TcpListener::bind(self.config.listen).await.map_err(|source| self.listen_error(source))
    }

    fn listen_error(&self, source: std::io::Error) -> DaemonError {
        DaemonError::Listen { addr: self.config.listen, source }
    }

    /// Stops in this order: say so, refuse appends, end the watches, let the connections finish what they
    /// have begun, close the store.
    async fn stop(&self, connections: Connections) {
        self.health.not_serving().await;
        self.appender.begin_shutdown();
        self.watches.end_all(EndCause::ShuttingDown);
        let stopping = async {
            if connections.finish(CONNECTIONS_STOP_MAX).await.is_err() {
                tracing::warn!("some connections did not finish in time");
            }
            self.store.close().await;
            self.broker.stop();
        };
        if tokio::time::timeout(STOP_MAX, stopping).await.is_err() {
            tracing::warn!("the store did not close in time; what was acknowledged is on disk");
        }
        tracing::info!("stopped");
    }

    /// Tells everybody that the store has failed. Its files are not touched again.
    async fn fail(&self, why: String, connections: Connections) -> DaemonError {
        tracing::error!(why, "the store has failed");
        self.health.not_serving().await;
        self.appender.begin_shutdown();
        self.watches.end_all(EndCause::StoreFailed);
        // Whoever does not take the news in time is cut off.
        let _ = connections.finish(FAIL_MAX).await;
        self.store_failed(why)
    }

    fn store_failed(&self, why: String) -> DaemonError {
        DaemonError::StoreFailed { data_dir: self.config.data_dir.clone(), why }
    }
}

/// The snapshots are beside the store; looking at what is there is not for an async thread.
async fn open_snapshots(config: &Config, store_id: StoreId) -> Arc<Snapshots> {
    let directory = config.data_dir.join("snapshots");
    let opening = tokio::task::spawn_blocking(move || Snapshots::open(directory, store_id));
    match opening.await {
        Ok(snapshots) => Arc::new(snapshots),
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// Many watchers need many file descriptors; the soft limit is often lower than what is allowed.
fn raise_file_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    if current != maximum
        && let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum })
    {
        tracing::warn!(%error, ?current, "cannot raise the limit of open files");
    }
}

#[cfg(test)]
mod tests;
