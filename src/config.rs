//! The checked configuration of the daemon: a TOML file, over it the environment, over it the flags.
//! Whoever holds a [`Config`] need not check anything again.

mod file;

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::limits::CONNECTIONS_MAX_DEFAULT;
use crate::limits::WATCHERS_MAX;

/// Where the daemon listens unless it is told otherwise.
pub const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 50051);

/// What the daemon needs to know, checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where to listen: a loopback address. Port 0 is any free one.
    pub listen: SocketAddr,
    /// The data directory.
    pub data_dir: PathBuf,
    /// What is logged: a level, or directives as `tracing` has them.
    pub log_level: String,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Connections at a time.
    pub connections_max: usize,
    /// Watchers at a time.
    pub watchers_max: usize,
}

/// How the log looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// What one source of configuration says; what it leaves out is up to the next one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// Where to listen.
    pub listen: Option<SocketAddr>,
    /// The data directory.
    pub data_dir: Option<PathBuf>,
    /// What is logged.
    pub log_level: Option<String>,
    /// How it is logged.
    pub log_format: Option<LogFormat>,
    /// Connections at a time.
    pub connections_max: Option<usize>,
    /// Watchers at a time.
    pub watchers_max: Option<usize>,
}

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {}: {source}", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// The system's answer.
        source: std::io::Error,
    },
    /// The file is not what it should be.
    #[error("the configuration {}: {what}", path.display())]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// What is wrong, with the place.
        what: String,
    },
    /// A value cannot be used.
    #[error("{key}: {what}")]
    Value {
        /// Which key.
        key: &'static str,
        /// What is wrong with it.
        what: String,
    },
}

impl Config {
    /// Reads the file, if there is one, and puts the rest over it.
    pub fn load(file: Option<&Path>, over: Overrides) -> Result<Self, ConfigError> {
        let base = file.map(file::read).transpose()?.unwrap_or_default();
        Self::check(over.or(base))
    }

    fn check(said: Overrides) -> Result<Self, ConfigError> {
        let listen = said.listen.unwrap_or(LISTEN_DEFAULT);
        if !listen.ip().is_loopback() {
            let what = format!(
                "{listen} can be reached from outside; without TLS and tokens, which this version does not have, \
                 only loopback addresses are served"
            );
            return Err(ConfigError::Value { key: "listen", what });
        }
        Ok(Self {
            listen,
            data_dir: said.data_dir.map_or_else(data_dir_default, Ok)?,
            log_level: said.log_level.unwrap_or_else(|| "info".to_owned()),
            log_format: said.log_format.unwrap_or_default(),
            connections_max: positive(
                "limits.connections_max",
                said.connections_max,
                CONNECTIONS_MAX_DEFAULT,
            )?,
            watchers_max: positive("limits.watchers_max", said.watchers_max, WATCHERS_MAX)?,
        })
    }
}

impl Overrides {
    /// What this says, else what `base` says.
    fn or(self, base: Self) -> Self {
        Self {
            listen: self.listen.or(base.listen),
            data_dir: self.data_dir.or(base.data_dir),
            log_level: self.log_level.or(base.log_level),
            log_format: self.log_format.or(base.log_format),
            connections_max: self.connections_max.or(base.connections_max),
            watchers_max: self.watchers_max.or(base.watchers_max),
        }
    }
}

fn positive(key: &'static str, value: Option<usize>, default: usize) -> Result<usize, ConfigError> {
    match value {
        Some(0) => Err(ConfigError::Value { key, what: "it must be at least 1".to_owned() }),
        value => Ok(value.unwrap_or(default)),
    }
}

/// `$XDG_STATE_HOME/tapeline`, or `.local/state/tapeline` in the home directory.
fn data_dir_default() -> Result<PathBuf, ConfigError> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("tapeline")).ok_or_else(|| ConfigError::Value {
        key: "data_dir",
        what: "neither XDG_STATE_HOME nor HOME says where it could be; name a directory".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loaded(text: &str, over: Overrides) -> Result<Config, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("tapeline.toml");
        std::fs::write(&path, text).expect("writes");
        let error = |error: ConfigError| error.to_string().replace(&path.display().to_string(), "FILE");
        Config::load(Some(&path), over).map_err(error)
    }

    #[test]
    fn flags_are_above_the_file_and_the_file_above_the_defaults() {
        let text = "listen = '127.0.0.1:7000'\ndata_dir = '/file'\n[log]\nlevel = 'debug'\nformat = 'json'\n";
        let over = Overrides { data_dir: Some("/flag".into()), ..Overrides::default() };
        let config = loaded(text, over).expect("fine");
        assert_eq!(config.listen.port(), 7000);
        assert_eq!(config.data_dir, Path::new("/flag"));
        assert_eq!((config.log_level.as_str(), config.log_format), ("debug", LogFormat::Json));
        assert_eq!(config.watchers_max, WATCHERS_MAX);
    }

    #[test]
    fn an_unknown_key_is_refused_with_the_nearest_known_one() {
        let error = loaded("lisen = '127.0.0.1:1'", Overrides::default()).expect_err("unknown");
        assert_eq!(error, "the configuration FILE: \"lisen\" is not a key; the nearest one is \"listen\"");
        let error = loaded("[logs]", Overrides::default()).expect_err("unknown");
        assert!(error.contains("\"logs\" is not a key"), "{error}");
        let error = loaded("[log]\nlvl = 'x'", Overrides::default()).expect_err("unknown");
        assert_eq!(
            error,
            "the configuration FILE: \"log.lvl\" is not a key; the nearest one is \"log.level\""
        );
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_refused_with_its_place() {
        for text in ["listen = 7", "listen = 'nowhere'", "[limits]\nwatchers_max = -1", "[[log]]", "x"] {
            let error = loaded(text, Overrides::default()).expect_err("wrong");
            assert!(error.starts_with("the configuration FILE: "), "{error}");
        }
        let error = loaded("[limits]\nwatchers_max = 0", Overrides::default()).expect_err("wrong");
        assert_eq!(error, "limits.watchers_max: it must be at least 1");
    }

    #[test]
    fn an_address_that_others_can_reach_is_refused() {
        for listen in ["0.0.0.0:1", "192.168.1.1:1", "[::]:1"] {
            let over = Overrides { listen: listen.parse().ok(), ..Overrides::default() };
            assert!(matches!(Config::load(None, over), Err(ConfigError::Value { key: "listen", .. })));
        }
    }
}
