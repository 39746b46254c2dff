//! `demo`: needs nothing but the binary, and proves what it says.

use std::process::Stdio;
use std::time::{Duration, Instant};

use super::support::{finish, tapeline};

#[test]
fn the_demo_shows_three_equal_transcripts_in_under_20_seconds() {
    let began = Instant::now();
    // An address that leads nowhere: the demo has a daemon of its own.
    let done =
        finish(tapeline().arg("demo").env("TAPELINE_ADDR", "http://127.0.0.1:1").stdin(Stdio::null()), b"");
    assert_eq!(done.code, Some(0), "{}\n{}", done.text(), done.stderr);
    assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
    for said in ["cut off after seq", "kill -9", "All three received the same bytes", "tapeline run"] {
        assert!(done.text().contains(said), "it does not say {said:?}:\n{}", done.text());
    }
    assert!(!done.text().contains('\u{1b}'), "colours, and no terminal");
    assert_eq!(done.stderr, "");
}
