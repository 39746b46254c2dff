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
    /// Whether nothing new may be written: the ballast was not whole or little was free, and there was
    /// not enough room again since. Set by whoever sees it, cleared only while `turn` is held.
    full: AtomicBool,
    /// Whether the log says that nothing new is written; it says so once, and once that it goes on.
    told: AtomicBool,
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
        let (disk, told) = (dir.disk.clone(), AtomicBool::new(false));
        Ok(Self { disk, place, full, told, ballast, turn: Mutex::new(()) })
    }

    /// Whether a new durable unit may begin; asks the file system each time, which costs about a
    /// microsecond. A unit that has begun may always finish.
    ///
    /// Once little is free the answer stays no until there is clearly more, so that a disk at the limit
    /// does not take one append and refuse the next.
    pub(crate) fn may_write(&self) -> bool {
        if self.full.load(Ordering::Acquire) {
            return false;
        }
        let Ok(free_bytes) = self.free_bytes() else { return false };
        let enough = free_bytes >= FREE_BYTES_MIN;
        if !enough {
            self.full.store(true, Ordering::Release);
            self.tell();
        }
        enough
    }

    /// Says that the disk is full, unless it was said already.
    fn tell(&self) {
        if !self.told.swap(true, Ordering::AcqRel) {
            let free_bytes = self.free_bytes().unwrap_or_default();
            tracing::warn!(
                file = ?self.place,
                free_bytes,
                resume_bytes = FREE_BYTES_RESUME,
                "the disk is full; nothing new is written until there is room"
            );
        }
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
        self.full.store(true, Ordering::Release);
        self.tell();
        if let Err(error) = self.ballast.throw_off() {
            tracing::warn!(file = ?self.place, %error, "cannot throw the ballast off");
        }
    }

    /// Goes on when there is room for a whole ballast and for something more, and the ballast is whole.
    ///
    /// It looks at the room first. If that has gone again by the time `full` is cleared, the next
    /// [`Self::may_write`] sees it and sets `full` anew, before anything is written.
    pub(super) fn recover(&self) {
        if !self.full.load(Ordering::Acquire) {
            return;
        }
        if !self.free_bytes().is_ok_and(|free| free >= FREE_BYTES_RESUME) {
            return self.tell();
        }
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = self.make_ballast() {
            tracing::debug!(file = ?self.place, %error, "the ballast cannot be made yet");
            return self.tell();
        }
        // In this order: whoever sets `full` again says so again.
        if self.told.swap(false, Ordering::AcqRel) {
            tracing::info!(file = ?self.place, "there is room on the disk again; writing goes on");
        }
        self.full.store(false, Ordering::Release);
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
