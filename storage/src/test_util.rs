//! A disk whose faults a test scripts: [`Faults`] stands before each call on the files of a store and
//! lets it through, delays it, fails it, or changes what was read. Never part of a release.
//!
//! A script is text, one rule a line; `#` begins a comment:
//!
//! ```text
//! PLACE OP ACTION [skip=N] [times=N]
//! free BYTES                       what the file system says it has left
//! ballast BYTES                    how large each ballast is; in force from the next open on
//! ```
//!
//! - PLACE: `journal`, `archive`, `journal_ballast`, `archive_ballast`, `sidecar`, `directory`, `any`.
//! - OP: `begin` (a transaction is about to begin: the write fails, and nothing of it was written),
//!   `create`, `read`, `write`, `set_len`, `allocate`, `sync_data` (of directories and ballasts too),
//!   `rename`, `remove`, `any`.
//! - ACTION: `eio`, `enospc`, `edquot`; `crash` (this call and every later one fails, as if the
//!   process had been killed before it); `delay MS`; and for reads `flip OFFSET` (the byte there in
//!   the file), `flip 0.5` (the byte there in what was read, as a fraction), `flip text=WORD` (the
//!   first byte of the word, wherever it is read).
//! - `skip` lets that many calls through first, `times` ends the rule after that many; every call that
//!   matches place and operation counts.
//!
//! For example `journal sync_data eio skip=3 times=1`. A daemon that was built with this reads the
//! script from the file that the environment variable `TAPELINE_FAULTS` names, at each call; no file
//! is an empty script, a changed one begins anew. Put a new one in its place by a rename. While the
//! script has a mistake every call fails with it.
//!
//! `enospc` without `times` is more than a full disk: it stays when the ballast is gone, so the
//! database sees it. A disk that is full as disks are is `free 0`, or `journal write enospc times=1`.

mod script;
mod meddled;
pub mod fuzz;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

pub use meddled::{Meddled, Meddler};
pub use script::ScriptError;
use script::{Action, Script};

use crate::limits::BALLAST_BYTES;
use crate::redb::{Disk, Op, Place};

/// The environment variable that names the script of a daemon.
const VARIABLE: &str = "TAPELINE_FAULTS";

/// A scripted disk. Clones share the script.
#[derive(Clone, Debug, Default)]
pub struct Faults {
    /// Where the script is read from, if not from [`Faults::script`].
    file: Option<PathBuf>,
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    text: String,
    script: Script,
    mistake: Option<ScriptError>,
    crashed: bool,
    calls: u64,
}

impl Faults {
    /// A disk without faults.
    pub fn new() -> Self {
        Self::default()
    }

    /// The disk that the environment scripts, if it names a file.
    pub fn from_environment() -> Option<Self> {
        std::env::var_os(VARIABLE).map(Self::in_file)
    }

    /// A disk whose script is read from a file at each call.
    pub fn in_file(file: impl Into<PathBuf>) -> Self {
        Self { file: Some(file.into()), ..Self::default() }
    }

    /// Puts a script in the place of the one before. An empty one is a disk without faults.
    pub fn script(&self, text: &str) -> Result<(), ScriptError> {
        let script = Script::parse(text)?;
        let mut state = self.lock();
        state.crashed = false;
        state.script = script;
        Ok(())
    }

    /// How many calls were made so far, those that failed included.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    /// Whether the process is gone, as far as its files are concerned.
    pub fn crashed(&self) -> bool {
        self.lock().crashed
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The state, with the script as the file says now.
    fn current(&self) -> MutexGuard<'_, State> {
        let text = self.file.as_ref().map(|file| std::fs::read_to_string(file).unwrap_or_default());
        let mut state = self.lock();
        if let Some(text) = text.filter(|text| *text != state.text) {
            (state.script, state.mistake) = match Script::parse(&text) {
                Ok(script) => (script, None),
                Err(mistake) => (Script::default(), Some(mistake)),
            };
            state.text = text;
        }
        state
    }
}

impl State {
    fn before(&mut self, place: Place, op: Op) -> io::Result<Duration> {
        self.calls += 1;
        if let Some(mistake) = &self.mistake {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, mistake.clone()));
        }
        let mut delay = Duration::ZERO;
        for action in self.script.actions(place, op) {
            match action {
                Action::Fail(errno) => return Err((*errno).into()),
                Action::Crash => self.crashed = true,
                Action::Delay(by) => delay += *by,
                Action::Flip(_) => {} // When the bytes are there.
            }
        }
        match self.crashed {
            true => Err(io::Error::other("the process is scripted to be gone")),
            false => Ok(delay),
        }
    }
}

impl Disk for Faults {
    fn before(&self, place: Place, op: Op) -> io::Result<()> {
        let delay = self.current().before(place, op)?;
        std::thread::sleep(delay);
        Ok(())
    }

    fn after_read(&self, place: Place, offset: u64, bytes: &mut [u8]) {
        self.lock().script.flips(place).for_each(|flip| flip.apply(offset, bytes));
    }

    fn is_gone(&self) -> bool {
        self.crashed()
    }

    fn free_bytes(&self, real: u64) -> u64 {
        self.current().script.free.unwrap_or(real)
    }

    fn ballast_bytes(&self) -> u64 {
        self.current().script.ballast.unwrap_or(BALLAST_BYTES)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_in_a_file_is_in_force_from_the_next_call_on() {
        let dir = tempfile::tempdir().expect("a place for files");
        let file = dir.path().join("faults");
        let faults = Faults::in_file(&file);
        let write = || faults.before(Place::Journal, Op::Write).map_err(|error| error.raw_os_error());
        write().expect("no file, no faults");
        std::fs::write(&file, "journal write eio times=2\nfree 7").expect("writes");
        assert_eq!([write(), write(), write()], [Err(Some(5)), Err(Some(5)), Ok(())]);
        assert_eq!(faults.free_bytes(1000), 7);
        std::fs::write(&file, "journal wriet eio").expect("writes");
        let mistake = faults.before(Place::Archive, Op::Sync).expect_err("every call fails");
        assert!(mistake.to_string().contains("line 1"), "{mistake}");
        std::fs::remove_file(&file).expect("removes");
        write().expect("no file, no faults");
        assert_eq!(faults.free_bytes(1000), 1000);
    }

    #[test]
    fn after_a_crash_nothing_reaches_the_disk_any_more() {
        let faults = Faults::new();
        faults.script("journal sync_data crash skip=1").expect("parses");
        faults.before(Place::Journal, Op::Sync).expect("the first one is let through");
        faults.before(Place::Journal, Op::Write).expect("not yet");
        for op in [Op::Sync, Op::Write, Op::Read, Op::Remove] {
            faults.before(Place::Journal, op).expect_err("gone");
            faults.before(Place::Directory, op).expect_err("gone");
        }
    }
}
