//! What the daemon logs, and how: structured, on stderr, never a payload.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::config::{Config, ConfigError, LogFormat};

/// Sends everything that is logged from now on to stderr. To be called once.
pub fn init(config: &Config) -> Result<(), ConfigError> {
    let wrong = |what: String| ConfigError::Value { key: "log.level", what };
    let filter = EnvFilter::try_new(&config.log_level).map_err(|error| wrong(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    let colors = std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let set = match config.log_format {
        LogFormat::Text => builder.with_ansi(colors).finish().try_init(),
        LogFormat::Json => builder.json().flatten_event(true).finish().try_init(),
    };
    set.map_err(|error: TryInitError| wrong(format!("the log is in use already: {error}")))
}
