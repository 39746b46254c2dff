//! `watch`, `logs` and `wait`: exactly once across lost connections and restarts, exit codes by phase,
//! nothing on a terminal that does not belong there.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use rustix::process::Signal;

use super::support::{Daemon, Running, eventually, numbers, seqs};

#[test]
fn the_exit_code_says_how_the_execution_ended() {
    let daemon = Daemon::start();
    for (id, phase, code) in [("c", "COMPLETED", 0), ("f", "FAILED", 1), ("x", "CANCELLED", 4)] {
        daemon.ok(&["create", id]);
        let mut watch = Running::start(&mut daemon.command(&["watch", id]));
        watch.wait_for_lines(1);
        let mut wait = Running::start(&mut daemon.command(&["wait", id]));
        let connected = || daemon.ok(&["watchers", id, "-o", "json"]).json().len() == 2;
        eventually(connected, &|| "two watchers".to_owned());
        assert!(watch.try_wait().is_none() && wait.try_wait().is_none(), "it has not ended yet");
        daemon.end(id, phase);
        assert_eq!((watch.done().code, wait.done().code), (Some(code), Some(code)), "{phase}");
        // The same once it has ended.
        assert_eq!(daemon.shell(&["watch", id]).code, Some(code));
        assert_eq!(daemon.shell(&["wait", id]).code, Some(code));
    }
}

#[test]
fn a_watch_survives_kill_9_of_the_daemon_and_shows_every_event_once() {
    let mut daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let watch = Running::start(&mut daemon.command(&["watch", "e1", "-o", "json"]));
    for round in 0..3 {
        daemon.append_numbers("e1", round * 50..(round + 1) * 50);
        watch.wait_for_lines(usize::try_from(round * 50 + 20).unwrap());
        daemon.kill();
        daemon.restart();
    }
    daemon.end("e1", "COMPLETED");
    let done = watch.done();
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert_eq!(seqs(&done.json()), (1..=152).collect::<Vec<_>>());
    assert_eq!(numbers(&done.json()), (0..150).collect::<Vec<_>>());
    assert!(done.stderr.contains("connection lost"), "{}", done.stderr);
    assert!(done.stderr.contains("connected again"), "{}", done.stderr);
}

#[test]
fn a_connection_that_is_dead_but_not_closed_is_noticed_and_made_again() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let watch = Running::start(&mut daemon.command(&["watch", "e1", "-o", "json"]));
    watch.wait_for_lines(1);
    // Its sockets stay open, and nothing answers: as behind a router that has forgotten us.
    daemon.signal(Signal::STOP);
    eventually(|| watch.stderr().contains("connection lost"), &|| watch.stderr());
    daemon.signal(Signal::CONT);
    daemon.append_numbers("e1", 0..3);
    daemon.end("e1", "COMPLETED");
    let done = watch.done();
    assert_eq!((done.code, seqs(&done.json())), (Some(0), vec![1, 2, 3, 4, 5]), "{}", done.stderr);
}

#[test]
fn a_daemon_that_stays_away_is_given_up_with_exit_code_5() {
    let mut daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let watch = Running::start(&mut daemon.command(&["watch", "e1", "-o", "json", "--reconnect-for", "1s"]));
    watch.wait_for_lines(1);
    daemon.kill();
    let done = watch.done();
    assert_eq!(done.code, Some(5));
    assert!(done.stderr.contains("for good"), "{}", done.stderr);
}

#[test]
fn a_deleted_execution_ends_its_watch_with_exit_code_3() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let watch = Running::start(&mut daemon.command(&["watch", "e1", "-o", "json"]));
    watch.wait_for_lines(1);
    daemon.ok(&["delete", "e1"]);
    assert_eq!(watch.done().code, Some(3));
}

#[test]
fn a_watch_can_wait_for_an_execution_to_be_created() {
    let daemon = Daemon::start();
    let watch = Running::start(&mut daemon.command(&["watch", "e1", "-o", "json", "--wait-for-create"]));
    eventually(|| daemon.ok(&["watchers", "-o", "json"]).json().len() == 1, &|| watch.stderr());
    daemon.ok(&["create", "e1"]);
    daemon.end("e1", "COMPLETED");
    let done = watch.done();
    assert_eq!((done.code, seqs(&done.json())), (Some(0), vec![1, 2]));
}

#[test]
fn a_watch_starts_where_it_is_told_to() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    daemon.append_numbers("e1", 0..9);
    for (args, expected) in [
        (&["--after", "8"][..], vec![9, 10]),
        (&["--tail", "3"], vec![8, 9, 10]),
        (&["--since", "1h"], (1..=10).collect()),
        (&["--since", "2100-01-01T00:00:00Z"], vec![]),
        (&["--types", "created"], vec![1]),
        (&["--types", "cre*,n", "--tail", "2"], vec![9, 10]),
    ] {
        let shown = daemon.ok(&[&["logs", "e1", "-o", "json"][..], args].concat());
        assert_eq!(seqs(&shown.json()), expected, "{args:?}");
        let watched = daemon.ok(&[&["watch", "e1", "--no-follow", "-o", "json"][..], args].concat());
        assert_eq!(seqs(&watched.json()), expected, "{args:?}");
    }
    assert_eq!(daemon.shell(&["watch", "e1", "--after", "99"]).code, Some(5));
}

#[test]
fn a_run_that_is_resumed_by_its_cursor_file_shows_exactly_the_rest() {
    let mut daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let file = daemon.path("cursor").to_str().unwrap().to_owned();
    let next =
        |daemon: &Daemon| seqs(&daemon.ok(&["logs", "e1", "-o", "json", "--cursor-file", &file]).json());
    daemon.append_numbers("e1", 0..5);
    assert_eq!(next(&daemon), (1..=6).collect::<Vec<_>>());
    assert_eq!(next(&daemon), Vec::<u64>::new());
    daemon.append_numbers("e1", 5..7);
    daemon.kill();
    daemon.restart();
    assert_eq!(next(&daemon), [7, 8]);

    // Another store has other logs, also under the same id.
    daemon.replace_store();
    daemon.ok(&["create", "e1"]);
    let stale = daemon.shell(&["logs", "e1", "--cursor-file", &file]);
    assert_eq!((stale.code, stale.text()), (Some(5), ""));
    assert!(stale.stderr.contains("STORE_REPLACED"), "{}", stale.stderr);
}

#[test]
fn a_watch_that_is_killed_leaves_a_cursor_file_from_which_nothing_is_lost() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let file = daemon.path("cursor").to_str().unwrap().to_owned();
    let args = ["watch", "e1", "-o", "json", "--cursor-file", &file];
    let mut seen = Vec::new();
    for round in 0..3 {
        let watch = Running::start(&mut daemon.command(&args));
        daemon.append_numbers("e1", round * 20..(round + 1) * 20);
        let tail = (round + 1) * 20 + 1;
        let remembered =
            || std::fs::read_to_string(&file).unwrap_or_default().contains(&format!("\"seq\":{tail}}}"));
        eventually(remembered, &|| watch.stderr());
        watch.signal(Signal::KILL);
        seen.extend(seqs(&watch.done().json()));
    }
    assert_eq!(seen, (1..=61).collect::<Vec<_>>());
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    for thousand in 0..5 {
        daemon.append_numbers("e1", thousand * 1_000..(thousand + 1) * 1_000);
    }
    let mut command = daemon.command(&["logs", "e1", "-o", "json"]);
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.contains("\"seq\":1,"), "{line}");
    let done = child.wait_with_output().unwrap();
    assert_eq!((done.status.code(), done.stderr.as_slice()), (Some(0), b"".as_slice()));
}

#[test]
fn a_reader_that_goes_away_while_nothing_happens_is_noticed() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let mut command = daemon.command(&["watch", "e1", "-o", "json"]);
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().unwrap();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut String::new()).unwrap();
    let mut status = None;
    let ended = || {
        status = child.try_wait().unwrap();
        status.is_some()
    };
    eventually(ended, &|| "it waits for an event".to_owned());
    assert_eq!(status.unwrap().code(), Some(0));
}

#[test]
fn control_characters_are_made_visible_and_raw_bytes_are_left_alone() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1", "--name", "\u{1b}[31mname"]);
    let lines = concat!(
        r#"{"message_added":{"index":0,"message":{"content":"\u001b[2J\u009b1m\u202egnirts\rover"}}}"#,
        "\n",
        r#"{"output":{"stream":"STREAM_STDOUT","data_base64":"G1szMW0A/wo="}}"#,
        "\n",
    );
    assert_eq!(daemon.shell_with(&["append", "e1"], lines.as_bytes()).code, Some(0));
    daemon.end("e1", "FAILED");
    for args in [&["logs", "e1"][..], &["get", "e1"], &["list"]] {
        let done = daemon.shell(args);
        let harmful = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
        assert!(!done.text().chars().any(harmful), "{args:?}: {:?}", done.text());
    }
    let shown = daemon.shell(&["logs", "e1"]);
    assert!(shown.text().contains("\\x1b[31m\\x00\\xff\n"), "{}", shown.text());
    let raw = daemon.shell(&["logs", "e1", "-o", "raw", "--types", "output"]);
    assert_eq!((raw.code, raw.stdout.as_slice()), (Some(1), b"\x1b[31m\0\xff\n".as_slice()));
}

#[test]
fn an_error_that_quotes_its_input_sends_no_control_characters_to_the_terminal() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let harmful = |letter: char| (letter.is_control() && letter != '\n') || letter == '\u{202e}';
    for line in [
        r#"{"\u001b[2J\u009b1m":1}"#,
        r#"{"phase_changed":{"phase":"\u001b]0;title\u0007\u202e"}}"#,
        r#"{"output":{"stream":"STREAM_STDOUT","\u001b[31m":""}}"#,
    ] {
        let done = daemon.shell_with(&["append", "e1"], line.as_bytes());
        assert_eq!(done.code, Some(2), "{line}");
        assert!(done.stderr.contains("\\x1b"), "{line}: {:?}", done.stderr);
        assert!(!done.stderr.chars().any(harmful), "{line}: {:?}", done.stderr);
    }
    let cursor = daemon.path("cursor");
    std::fs::write(&cursor, r#"{"store_id":"\u001b[2J","log_id":"l","seq":0}"#).unwrap();
    let done = daemon.shell(&["watch", "e1", "--no-follow", "--cursor-file", cursor.to_str().unwrap()]);
    assert_eq!(done.code, Some(5));
    assert!(!done.stderr.chars().any(harmful), "{:?}", done.stderr);
}
