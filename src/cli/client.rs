//! The connection to the daemon: where it is, how long things may take, and how a failed attempt is
//! repeated. What is safe to repeat is said by the caller, and how long to wait by `patience`.

use std::error::Error;
use std::future::Future;
use std::time::Duration;

use clap::Args;
use tokio::time::Instant;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Response, Status};

use super::exit::CliError;
use super::explain::Refusal;
use super::limits::{
    ADDR_DEFAULT, CALL_MAX, CALL_RETRY_MAX, CONNECT_MAX, DELIVER_MAX, KEEPALIVE_EVERY, KEEPALIVE_MAX,
    REPLY_BYTES_MAX,
};
use super::patience::Pauses;
use crate::proto::stigmer::agentexecution::agent_execution_query_controller_client::AgentExecutionQueryControllerClient;
use crate::proto::v1::admin_service_client::AdminServiceClient;
use crate::proto::v1::execution_log_service_client::ExecutionLogServiceClient;

/// Where the daemon is.
#[derive(Clone, Debug, Args)]
pub(crate) struct AddrArgs {
    /// The daemon's address, such as http://127.0.0.1:50051
    #[arg(long, env = "TAPELINE_ADDR", default_value = ADDR_DEFAULT, value_name = "URL")]
    addr: String,
}

impl AddrArgs {
    /// This address, whatever the environment says.
    pub(crate) fn at(url: &str) -> Self {
        Self { addr: url.to_owned() }
    }
}

/// A client of one daemon. Cheap to clone; connects when it is first used, and again by itself.
#[derive(Clone, Debug)]
pub(crate) struct Client {
    addr: String,
    channel: Channel,
}

/// Whether a request may be sent again although it may have been carried out.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Yes: the second time changes nothing.
    Always,
    /// No: only if the daemon says that nothing was written.
    IfNothingWritten,
    /// Yes, and a daemon that went away is waited for: it was there a moment ago.
    AlsoWhenLost,
}

impl Repeat {
    /// Whether to try again after this error; the pause the daemon asks for.
    fn after(self, error: &CliError) -> Option<Duration> {
        match error {
            CliError::Unreachable { .. } => (self == Self::AlsoWhenLost).then_some(Duration::ZERO),
            CliError::Refused(refusal) => {
                let safe = self != Self::IfNothingWritten || refusal.reason != "OUTCOME_UNKNOWN";
                let leaving = self == Self::AlsoWhenLost && refusal.is_passing();
                refusal.retry_after.or(leaving.then_some(Duration::ZERO)).filter(|_| safe)
            }
            _ => None,
        }
    }
}

impl Client {
    /// A client of the daemon at this address.
    ///
    /// # Errors
    /// [`CliError::Usage`] if it is no address of a daemon.
    pub(crate) fn new(args: &AddrArgs) -> Result<Self, CliError> {
        // An empty variable of the environment is as good as none.
        let addr = if args.addr.is_empty() { ADDR_DEFAULT } else { &args.addr };
        let addr = if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") };
        if !addr.starts_with("http://") {
            return Err(CliError::Usage(format!(
                "{addr} is not an address this version speaks: http://HOST:PORT"
            )));
        }
        let endpoint = Endpoint::from_shared(addr.clone())
            .map_err(|error| CliError::Usage(format!("{addr} is no address: {error}")))?
            .connect_timeout(CONNECT_MAX)
            .tcp_nodelay(true)
            .http2_keep_alive_interval(KEEPALIVE_EVERY)
            .keep_alive_timeout(KEEPALIVE_MAX)
            .keep_alive_while_idle(true);
        Ok(Self { addr, channel: endpoint.connect_lazy() })
    }

    /// The log service.
    pub(crate) fn log(&self) -> ExecutionLogServiceClient<Channel> {
        ExecutionLogServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The admin service.
    pub(crate) fn admin(&self) -> AdminServiceClient<Channel> {
        AdminServiceClient::new(self.channel.clone()).max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The states of executions, by the contract of Stigmer.
    pub(crate) fn states(&self) -> AgentExecutionQueryControllerClient<Channel> {
        AgentExecutionQueryControllerClient::new(self.channel.clone())
            .max_decoding_message_size(REPLY_BYTES_MAX)
    }

    /// The address, as it is connected to.
    pub(crate) fn addr(&self) -> &str {
        &self.addr
    }

    /// Makes a call and, while the daemon asks for it, makes it again, for the last time when the time for
    /// it ends. A daemon that is not there is not waited for.
    pub(crate) async fn call<T, F>(&self, repeat: Repeat, attempt: impl FnMut() -> F) -> Result<T, CliError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        self.call_for_response(repeat, attempt).await.map(Response::into_inner)
    }

    /// The same, for whoever needs what the daemon said beside the message.
    pub(crate) async fn call_for_response<T, F>(
        &self,
        repeat: Repeat,
        mut attempt: impl FnMut() -> F,
    ) -> Result<Response<T>, CliError>
    where
        F: Future<Output = Result<Response<T>, Status>>,
    {
        let until =
            Instant::now() + if repeat == Repeat::AlsoWhenLost { DELIVER_MAX } else { CALL_RETRY_MAX };
        let mut pauses = Pauses::default();
        loop {
            let error = match attempt().await {
                Ok(response) => return Ok(response),
                Err(status) => self.error_of(status),
            };
            let Some(asked) = repeat.after(&error) else { return Err(error) };
            let left = until.saturating_duration_since(Instant::now());
            let Some(pause) = pauses.next(asked, left) else { return Err(error) };
            tokio::time::sleep(pause).await;
        }
    }

    /// The error behind a status: the daemon's own, or that it is not there.
    pub(crate) fn error_of(&self, status: Status) -> CliError {
        let why = root_cause(&status);
        let refusal = Refusal::from(status);
        if refusal.is_connection() {
            CliError::Unreachable { addr: self.addr.clone(), why }
        } else {
            CliError::Refused(Box::new(refusal))
        }
    }
}

/// The message, as a request that must be answered in time.
pub(crate) fn timed<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.set_timeout(CALL_MAX);
    request
}

/// Whether a request that failed so may have been carried out all the same.
pub(crate) fn may_be_done(status: &Status) -> bool {
    let mut cause = status.source();
    while let Some(error) = cause {
        if error.is::<tonic::ConnectError>() {
            // There was no connection on which it could have been sent.
            return false;
        }
        cause = error.source();
    }
    let refusal = Refusal::from(status.clone());
    refusal.is_connection() || refusal.reason == "OUTCOME_UNKNOWN"
}

/// The innermost error of a failed call; the outer ones only say that the transport failed.
pub(crate) fn root_cause(status: &Status) -> String {
    let mut cause: Option<&dyn Error> = status.source();
    while let Some(inner) = cause.and_then(|error| error.source()) {
        cause = Some(inner);
    }
    let told = cause.map(ToString::to_string).unwrap_or_default();
    let text = if told.is_empty() { status.message().to_owned() } else { told };
    super::printable::printable_line(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use tonic_types::{ErrorDetails, StatusExt};

    use super::*;

    fn client_of(addr: &str) -> Result<Client, CliError> {
        Client::new(&AddrArgs::at(addr))
    }

    #[tokio::test]
    async fn an_address_needs_no_scheme_but_must_not_have_another() {
        assert_eq!(client_of("localhost:1").expect("an address").addr(), "http://localhost:1");
        assert_eq!(client_of("").expect("an address").addr(), ADDR_DEFAULT);
        assert!(matches!(client_of("https://localhost:1"), Err(CliError::Usage(_))));
        assert!(matches!(client_of("http://not a host"), Err(CliError::Usage(_))));
    }

    #[tokio::test]
    async fn a_daemon_that_is_not_there_is_named_at_once() {
        let client = client_of("http://127.0.0.1:1").expect("an address");
        let request = crate::proto::v1::GetStatsRequest {};
        let result =
            client.call(Repeat::Always, || async { client.admin().get_stats(timed(request)).await }).await;
        match result {
            Err(CliError::Unreachable { addr, why }) => {
                assert_eq!(addr, "http://127.0.0.1:1");
                assert!(why.contains("refused"), "{why}");
            }
            other => panic!("expected an unreachable daemon, got {other:?}"),
        }
        let status = client.admin().get_stats(timed(request)).await.expect_err("nobody is there");
        assert!(!may_be_done(&status), "it was never sent");
        assert!(may_be_done(&Status::internal("h2 protocol error")), "it may have been sent");
    }
    #[tokio::test(start_paused = true)]
    async fn a_call_that_is_to_be_repeated_is_made_for_the_last_time_when_its_time_ends() {
        let client = client_of("http://127.0.0.1:1").expect("an address");
        for (repeat, whole) in [(Repeat::Always, CALL_RETRY_MAX), (Repeat::AlsoWhenLost, DELIVER_MAX)] {
            let (begun, mut made) = (Instant::now(), Vec::new());
            let call = || {
                made.push(begun.elapsed());
                async { Err::<Response<()>, _>(busy()) }
            };
            let result = client.call(repeat, call).await;
            assert!(matches!(result, Err(CliError::Refused(_))), "its last error stands");
            let last = made.last().copied().unwrap_or_default();
            // The clock of the timers goes in milliseconds.
            assert!(last >= whole && last < whole + Duration::from_millis(2), "{made:?}");
        }
    }

    fn busy() -> Status {
        let details = ErrorDetails::with_retry_info(Some(Duration::from_secs(3)));
        Status::with_error_details(tonic::Code::ResourceExhausted, "busy", details)
    }
}
