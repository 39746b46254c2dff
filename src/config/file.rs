//! The TOML file. Its keys are those of [`FileConfig`]; any other is refused with the nearest known one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use toml::Table;

use super::{ConfigError, LogFormat, Overrides};

/// Every key, with its table.
const KEYS: [&str; 6] =
    ["listen", "data_dir", "log.level", "log.format", "limits.connections_max", "limits.watchers_max"];

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct FileConfig {
    listen: Option<SocketAddr>,
    data_dir: Option<PathBuf>,
    log: LogConfig,
    limits: LimitsConfig,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LogConfig {
    level: Option<String>,
    format: Option<LogFormat>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct LimitsConfig {
    connections_max: Option<usize>,
    watchers_max: Option<usize>,
}

/// Reads a file.
pub(super) fn read(path: &Path) -> Result<Overrides, ConfigError> {
    let text = std::fs::read_to_string(path)
        .map_err(|source| ConfigError::Unreadable { path: path.to_owned(), source })?;
    parse(&text).map_err(|what| ConfigError::Malformed { path: path.to_owned(), what })
}

fn parse(text: &str) -> Result<Overrides, String> {
    let table: Table = text.parse().map_err(|error: toml::de::Error| error.to_string())?;
    check_keys(&table)?;
    let FileConfig { listen, data_dir, log, limits } =
        toml::from_str(text).map_err(|error| error.to_string())?;
    Ok(Overrides {
        listen,
        data_dir,
        log_level: log.level,
        log_format: log.format,
        connections_max: limits.connections_max,
        watchers_max: limits.watchers_max,
    })
}

fn check_keys(table: &Table) -> Result<(), String> {
    for (key, value) in table {
        match value {
            toml::Value::Table(inner) if !inner.is_empty() => {
                inner.keys().try_for_each(|inner| check_key(&format!("{key}.{inner}")))?;
            }
            _ => check_key(key)?,
        }
    }
    Ok(())
}

fn check_key(key: &str) -> Result<(), String> {
    let is_table = || KEYS.iter().any(|known| known.split_once('.').is_some_and(|(table, _)| table == key));
    if KEYS.contains(&key) || is_table() {
        return Ok(());
    }
    let nearest = KEYS.iter().min_by_key(|known| strsim::damerau_levenshtein(known, key));
    let nearest = nearest.map_or("", |nearest| *nearest);
    Err(format!("{key:?} is not a key; the nearest one is {nearest:?}"))
}
