//! The making of a store. A crash at any moment leaves a directory that the next start recognises:
//! with the mark `creating` and without a sidecar it is made anew, from nothing; with a sidecar it is
//! complete. Both databases are made under temporary names, closed, synced and renamed, because redb
//! refuses for ever a file in whose first writes a crash fell. The sidecar comes last.

use std::fs::File;

use redb::Database;

use super::backend::Backend;
use super::database::database_error;
use super::dir::{
    ARCHIVE, ARCHIVE_BALLAST, CREATING, Dir, IO_FAILED, JOURNAL, JOURNAL_BALLAST, SIDECAR, TEMPORARY,
};
use super::disk::{Op, Place};
use super::sidecar::{self, Contents};
use super::{Init, Inits};
use crate::redb::error::EngineError;
use crate::{OpenError, StoreId};

/// What a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// Nothing of ours.
    Nothing,
    /// What a creation left that did not come to its end.
    Unfinished,
    /// A whole store.
    Store,
}

/// Makes a store unless there is one. A store of which a file is missing is never made anew.
pub(super) fn create_if_new(dir: &Dir, inits: &Inits) -> Result<(), OpenError> {
    let found = look(dir)?;
    if found == Found::Unfinished {
        tracing::info!(path = %dir.path().display(), "an earlier start did not finish making the store; it is made anew");
        for name in [JOURNAL, ARCHIVE] {
            dir.remove(name).map_err(dir.error("remove", name))?;
        }
    }
    if found != Found::Store {
        create(dir, inits)?;
    }
    if dir.has(CREATING)? {
        dir.remove(CREATING).map_err(dir.error("remove", CREATING))?;
        dir.sync().map_err(dir.error("sync", ""))?;
    }
    Ok(())
}

fn look(dir: &Dir) -> Result<Found, OpenError> {
    let mut missing = Vec::new();
    for name in [JOURNAL, ARCHIVE, SIDECAR] {
        if !dir.has(name)? {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(Found::Store);
    }
    if missing.contains(&SIDECAR) && dir.has(CREATING)? {
        return Ok(Found::Unfinished);
    }
    let mut traces = missing.len() < 3;
    for name in [JOURNAL_BALLAST, ARCHIVE_BALLAST, IO_FAILED] {
        traces |= dir.has(name)?;
    }
    match traces {
        true => {
            Err(dir.damaged(format!("there was a store here, of which is missing: {}", missing.join(", "))))
        }
        false => Ok(Found::Nothing),
    }
}

fn create(dir: &Dir, inits: &Inits) -> Result<(), OpenError> {
    let store_id = StoreId::generate();
    dir.sync_parents().map_err(dir.error("sync the parents of", ""))?;
    let mark = dir.create(Place::Directory, CREATING);
    mark.and_then(|_| dir.sync()).map_err(dir.error("create", CREATING))?;
    create_database(dir, Place::Journal, JOURNAL, store_id, inits.journal)?;
    create_database(dir, Place::Archive, ARCHIVE, store_id, inits.archive)?;
    dir.sync().map_err(dir.error("sync", ""))?;
    sidecar::write(dir, Contents { store_id, position: 0 }).map_err(dir.error("write", SIDECAR))
}

fn create_database(
    dir: &Dir,
    place: Place,
    name: &str,
    store_id: StoreId,
    init: Init,
) -> Result<(), OpenError> {
    let temporary = format!("{name}{TEMPORARY}");
    let file = dir.create(place, &temporary).map_err(dir.error("create", &temporary))?;
    let synced = file.try_clone().map_err(dir.error("create", &temporary))?;
    fill(dir, place, file, store_id, init).map_err(|error| match error {
        EngineError::Redb(error) => database_error(dir, &temporary, error),
        EngineError::Corrupt(what) => dir.damaged(format!("{temporary} was just made, but {what}")),
    })?;
    dir.disk
        .before(place, Op::Sync)
        .and_then(|()| synced.sync_all())
        .map_err(dir.error("sync", &temporary))?;
    dir.rename(place, &temporary, name).map_err(dir.error("rename", &temporary))
}

fn fill(dir: &Dir, place: Place, file: File, store_id: StoreId, init: Init) -> Result<(), EngineError> {
    let backend = Backend::new(file, dir.disk.clone(), place, None)?;
    let database = Database::builder().create_with_backend(backend)?;
    init(&database, store_id)?;
    Ok(database.close()?)
}
