//! Room on the disk for one database, so that redb never meets a full one. When a write finds no room,
//! the ballast is thrown off and the write is repeated: the running unit finishes, and nothing new
//! begins until the ballast is whole again. A sync is never repeated: after a failed one nobody knows
//! what is on the disk.
//!
//! This holds on ext4, xfs and tmpfs, and on btrfs if the directory was made with `chattr +C`. On thin
//! volumes and network file systems room that was promised may be missing at the sync; then the process
//! stops, as after any other failed call.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::sleep;
use std::time::Duration;

use super::ballast::Ballast;
use super::dir::{ARCHIVE_BALLAST, Dir, JOURNAL_BALLAST};
use super::disk::{Disk, Op, Place, is_full};
use crate::OpenError;
use crate::limits::{FREE_BYTES_MIN, FREE_BYTES_RESUME};

/// Between the tries of a write that finds no room though the ballast is gone: the file system may need
/// a moment to hand its blocks over.
const PAUSES: [Duration; 3] =
    [Duration::from_millis(10), Duration::from_millis(20), Duration::from_millis(40)];
/// Before the second try to make a ballast.
const BALLAST_PAUSE: Duration = Duration::from_millis(50);

/// The room for one database.
#[derive(Debug)]
pub(crate) struct Space {
    disk: Arc<dyn Disk>,
    place: Place,
    /// Whether the ballast is not whole. Changes only while `turn` is held.
    full: AtomicBool,
    ballast: Ballast,
    /// Held while the ballast is thrown off or made. Nothing is locked while waiting for it.
    turn: Mutex<()>,
}

impl Space {
    /// Opens the ballast of a database; until it is whole, nothing may be written.
    pub(super) fn open(dir: &Dir, place: Place) -> Result<Self, OpenError> {
        let (of, name) = match place {
            Place::Archive => (Place::ArchiveBallast, ARCHIVE_BALLAST),
            _ => (Place::JournalBallast, JOURNAL_BALLAST),
        };
        let ballast = Ballast::open(dir, of, name).map_err(dir.error("open", name))?;
        let whole = ballast.is_whole().map_err(dir.error("look at", name))?;
        let full = AtomicBool::new(!whole);
        Ok(Self { disk: dir.disk.clone(), place, full, ballast, turn: Mutex::new(()) })
    }

    /// Whether a new durable unit may begin; asks the file system each time, which costs about a
    /// microsecond. A unit that has begun may always finish.
    pub(crate) fn may_write(&self) -> bool {
        !self.full.load(Ordering::Acquire) && self.free_bytes().is_ok_and(|free| free >= FREE_BYTES_MIN)
    }

    /// Says that a transaction is about to begin. An error, which only a test scripts, means that
    /// nothing of it was written.
    pub(crate) fn begin(&self) -> io::Result<()> {
        self.disk.before(self.place, Op::Begin)
    }

    /// Whether the process is scripted to be gone: no call on a file goes through any more.
    pub(crate) fn is_gone(&self) -> bool {
        self.disk.is_gone()
    }

    /// Makes a call that may need room, again if there was none.
    pub(super) fn with_room(&self, mut call: impl FnMut() -> io::Result<()>) -> io::Result<()> {
        let mut done = call();
        if !found_no_room(&done) {
            return done;
        }
        self.throw_ballast_off();
        done = call();
        for pause in PAUSES {
            if !found_no_room(&done) {
                break;
            }
            sleep(pause);
            self.sync_file_system();
            done = call();
        }
        done
    }

    fn throw_ballast_off(&self) {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::warn!(file = ?self.place, "the disk is full; nothing new is written until there is room");
        }
        if let Err(error) = self.ballast.throw_off() {
            tracing::warn!(file = ?self.place, %error, "cannot throw the ballast off");
        }
    }

    /// Makes the ballast whole again if there is room for it and for something more.
    pub(super) fn recover(&self) {
        if !self.full.load(Ordering::Acquire)
            || !self.free_bytes().is_ok_and(|free| free >= FREE_BYTES_RESUME)
        {
            return;
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        match self.make_ballast() {
            Ok(()) => {
                self.full.store(false, Ordering::Release);
                tracing::info!(file = ?self.place, "there is room on the disk; the ballast is whole");
            }
            Err(error) => tracing::debug!(file = ?self.place, %error, "the ballast cannot be made yet"),
        }
    }

    fn make_ballast(&self) -> io::Result<()> {
        match self.ballast.make() {
            Err(error) if is_full(&error) => {
                sleep(BALLAST_PAUSE);
                self.sync_file_system();
                self.ballast.make()
            }
            done => done,
        }
    }

    fn free_bytes(&self) -> io::Result<u64> {
        let found = rustix::fs::fstatvfs(self.ballast.file())?;
        Ok(self.disk.free_bytes(found.f_bavail.saturating_mul(found.f_frsize)))
    }

    fn sync_file_system(&self) {
        // It only hurries the file system on; whether there is room is for the next try to find out.
        let _ = rustix::fs::syncfs(self.ballast.file());
    }
}

fn found_no_room(done: &io::Result<()>) -> bool {
    done.as_ref().is_err_and(is_full)
}
