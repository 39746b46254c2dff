//! Brings what a run has recorded to the daemon: the creation, then batch after batch, each one repeated
//! under its number until it is acknowledged. It ends when all is delivered, when the daemon will never
//! take it, or when the program has ended and the daemon stays away for too long.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;
use tonic::{Response, Status};

use super::spool::Spool;
use crate::cli::client::{Client, timed};
use crate::cli::exit::CliError;
use crate::cli::limits::{DELIVER_MAX, IMPATIENT_CALL_MAX, QUIET_MAX};
use crate::cli::output::talk;
use crate::cli::patience::Pauses;
use crate::cli::printable::printable_line;
use crate::proto::v1::{CreateExecutionRequest, Execution};

/// How far the run is, for the delivery.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum RunState {
    /// The program runs: the daemon is waited for.
    Running,
    /// The program has ended: it is waited for a while.
    Ended,
    /// The user does not want to wait.
    GiveUp,
}

/// How a delivery ended.
#[derive(Debug)]
pub(super) enum Delivered {
    /// The daemon has everything.
    All,
    /// The daemon will not take it, now or later.
    Refused(CliError),
    /// Given up; what is left, the batch that was on its way included, is in the spool.
    Left,
}

/// The delivery of one run.
pub(super) struct Delivery {
    client: Client,
    spool: Arc<Spool>,
    state: watch::Receiver<RunState>,
    /// When the daemon last acknowledged something; once the program has ended, not before its end.
    alive: Instant,
    /// Whether the end of the program was seen.
    ended: bool,
    away: bool,
    /// Whether the user knows that it is the daemon that is waited for.
    told: bool,
}

/// Why one request was given up.
enum Stop {
    Refused(CliError),
    Away,
}

impl Delivery {
    /// A delivery that follows the state of the run.
    pub(super) fn new(client: Client, spool: Arc<Spool>, state: watch::Receiver<RunState>) -> Self {
        Self { client, spool, state, alive: Instant::now(), ended: false, away: false, told: false }
    }

    /// Delivers until there is nothing left. `create` is what is still to be created.
    pub(super) async fn run(mut self, create: Option<CreateExecutionRequest>) -> Delivered {
        if let Some(create) = create {
            let client = self.client.clone();
            let call = || async { client.log().create_execution(timed(create.clone())).await };
            match self
                .until_acknowledged(call)
                .await
                .and_then(|execution| unused(&execution).map_err(Stop::Refused))
            {
                Ok(()) => {}
                Err(Stop::Refused(error)) => return Delivered::Refused(error),
                Err(Stop::Away) => return Delivered::Left,
            }
        }
        let client = self.client.clone();
        loop {
            let batch = match self.spool.next().await {
                Ok(Some(batch)) => batch,
                Ok(None) => {
                    if self.told {
                        talk("everything is delivered");
                    }
                    return Delivered::All;
                }
                Err(error) => {
                    return Delivered::Refused(CliError::local("cannot read the spool file", error));
                }
            };
            let call = || async { client.log().append(timed(batch.clone())).await };
            match self.until_acknowledged(call).await {
                Ok(_) => {}
                Err(Stop::Refused(error)) => return Delivered::Refused(error),
                Err(Stop::Away) => return Delivered::Left,
            }
        }
    }

    async fn until_acknowledged<T, F>(&mut self, mut attempt: impl FnMut() -> F) -> Result<T, Stop>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let mut pauses = Pauses::default();
        loop {
            let error = match self.answer(attempt()).await? {
                Ok(response) => {
                    self.alive = Instant::now();
                    if std::mem::take(&mut self.away) {
                        talk("the daemon is back; what was kept is being delivered");
                    }
                    return Ok(response.into_inner());
                }
                Err(status) => self.client.error_of(status),
            };
            let asked = match &error {
                CliError::Unreachable { .. } => Duration::ZERO,
                CliError::Refused(refusal) if refusal.is_passing() => refusal.retry_after.unwrap_or_default(),
                _ => return Err(Stop::Refused(error)),
            };
            if !std::mem::replace(&mut self.away, true) {
                talk(&format!("{error}; the output is kept and delivered later"));
            }
            self.pause(pauses.next(asked, self.left()).ok_or(Stop::Away)?).await?;
        }
    }

    /// Waits for an answer, as long as the user and the end of the program leave time for it. Whatever
    /// becomes of a request that was given up: it is kept, and delivered later under the same number.
    async fn answer<T>(&mut self, attempt: impl Future<Output = T>) -> Result<T, Stop> {
        let given_up = given_up(self.state.clone());
        let ended = reached(self.state.clone(), RunState::Ended);
        tokio::pin!(attempt, given_up, ended);
        loop {
            tokio::select! {
                answered = &mut attempt => return Ok(answered),
                () = &mut given_up => return Err(Stop::Away),
                () = &mut ended, if !self.ended => self.see_end(),
                () = tokio::time::sleep_until(self.alive + QUIET_MAX), if self.ended && !self.told => self.tell(),
                // The last attempt is begun at the end of that time, and gets some of its own.
                () = tokio::time::sleep_until(self.alive + DELIVER_MAX + IMPATIENT_CALL_MAX), if self.ended => {
                    return Err(Stop::Away);
                }
            }
        }
    }

    /// Waits before the next attempt; an error if there will be none.
    async fn pause(&mut self, pause: Duration) -> Result<(), Stop> {
        let until = Instant::now() + pause;
        loop {
            let state = *self.state.borrow_and_update();
            match state {
                RunState::Running => {}
                RunState::Ended => self.see_end(),
                RunState::GiveUp => return Err(Stop::Away),
            }
            if self.ended && !self.told {
                self.tell();
            }
            tokio::select! {
                () = tokio::time::sleep_until(until) => return Ok(()),
                changed = self.state.changed() => changed.map_err(|_| Stop::Away)?,
            }
        }
    }

    /// From now on the user waits, and the daemon only for a while.
    fn see_end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) {
            self.alive = Instant::now();
        }
    }

    /// How long the daemon is still waited for.
    fn left(&self) -> Duration {
        if self.ended { DELIVER_MAX.saturating_sub(self.alive.elapsed()) } else { Duration::MAX }
    }

    /// Says what the user waits for, and how long that may take.
    fn tell(&mut self) {
        self.told = true;
        let seconds = self.left().as_secs_f64().ceil();
        talk(&format!(
            "the program has ended; waiting up to {seconds} s for the daemon at {} to take the rest of its \
             output (Ctrl-C keeps it for later)",
            self.client.addr()
        ));
    }
}

/// Resolves when the user does not want to wait and the daemon had its time.
async fn given_up(state: watch::Receiver<RunState>) {
    reached(state, RunState::GiveUp).await;
    tokio::time::sleep(IMPATIENT_CALL_MAX).await;
}

/// Resolves when the run is as far as that.
async fn reached(mut state: watch::Receiver<RunState>, wanted: RunState) {
    if state.wait_for(|state| *state >= wanted).await.is_err() {
        // The run is gone and has not said so.
        std::future::pending::<()>().await;
    }
}

/// An execution that was created by this run, and not one that has been run already.
pub(super) fn unused(execution: &Execution) -> Result<(), CliError> {
    if execution.tail_seq <= 1 {
        return Ok(());
    }
    Err(CliError::Usage(format!(
        "the execution {} exists and has events; a run needs a new id",
        printable_line(&execution.id)
    )))
}
