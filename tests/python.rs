//! A runner and its followers that are not ours: Python's grpcio, on stubs generated from `proto/`, against
//! the real daemon. The session itself is in `tests/python`. Needs python3 and, the first time, the network.

use std::io::ErrorKind;
use std::path::Path;
use std::process::Command;

/// How the script says that the machine lacks something.
const SKIPPED: i32 = 77;

#[test]
#[allow(clippy::print_stdout, reason = "a test that is skipped says so")]
fn a_python_runner_and_its_followers_work_unmodified() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/python/run.py");
    let mut command = Command::new("python3");
    command.arg(script).args(["--daemon", env!("CARGO_BIN_EXE_tapeline"), "--work"]);
    command.arg(Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("python"));
    let done = match command.output() {
        Ok(done) => done,
        Err(error) if error.kind() == ErrorKind::NotFound => return println!("SKIPPED: there is no python3"),
        Err(error) => panic!("python3 cannot be started: {error}"),
    };
    let (stdout, stderr) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    if done.status.code() == Some(SKIPPED) {
        return println!("{}", stdout.lines().last().unwrap_or("SKIPPED: no reason given"));
    }
    assert!(done.status.success(), "the session failed: {}\n{stderr}\n{stdout}", done.status);
}
