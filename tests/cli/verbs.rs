//! The verbs that ask once: their data, their exit codes, what they say when it cannot be done.

use std::process::Stdio;

use super::support::{Daemon, eventually, finish, numbers, seqs, tapeline};

#[test]
fn what_is_created_can_be_appended_to_shown_listed_and_deleted() {
    let daemon = Daemon::start();
    let id = daemon.ok(&["create", "e1", "--name", "A name", "--label", "team=blue", "--session", "s1"]);
    assert_eq!(id.text(), "e1\n");
    daemon.append_numbers("e1", 0..3);

    let execution = daemon.get("e1");
    assert_eq!(execution["id"], "e1");
    assert_eq!(execution["display_name"], "A name");
    assert_eq!(execution["labels"]["team"], "blue");
    assert_eq!(execution["tail_seq"], 4);
    assert!(daemon.ok(&["get", "e1"]).text().contains("team=blue"));

    daemon.ok(&["create", "e2"]);
    let listed = daemon.ok(&["list", "-o", "json"]).json();
    assert_eq!(listed.iter().map(|one| one["id"].as_str().unwrap()).collect::<Vec<_>>(), ["e2", "e1"]);
    let blue = daemon.ok(&["list", "--label", "team=blue", "-o", "json"]).json();
    assert_eq!(blue.len(), 1);
    assert!(daemon.ok(&["list"]).text().lines().next().unwrap().starts_with("ID"));

    let deleted = daemon.ok(&["delete", "e1", "e2"]);
    assert_eq!(deleted.text(), "", "what was done is talk, not data");
    assert_eq!(daemon.ok(&["list", "-o", "json"]).text(), "");
}

#[test]
fn an_id_is_chosen_by_the_daemon_if_none_is_given() {
    let daemon = Daemon::start();
    let created = daemon.ok(&["create"]);
    assert_eq!(daemon.get(created.text().trim())["phase"], "PHASE_PENDING");
}

#[test]
fn every_verb_says_that_there_is_no_such_execution_with_exit_code_3() {
    let daemon = Daemon::start();
    for args in [
        &["get", "none"][..],
        &["watch", "none"],
        &["logs", "none"],
        &["logs", "-f", "none"],
        &["wait", "none"],
        &["delete", "none"],
        &["trim", "none", "--floor", "1"],
        &["append", "none", "--type", "t", "--data", "d"],
    ] {
        let done = daemon.shell(args);
        assert_eq!(done.code, Some(3), "{args:?}: {}", done.stderr);
        assert_eq!(done.text(), "", "{args:?}");
        assert!(done.stderr.contains("EXECUTION_NOT_FOUND"), "{args:?}: {}", done.stderr);
    }
}

#[test]
fn what_makes_no_sense_is_exit_code_2() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    for args in [
        &["nothing"][..],
        &["watch"],
        &["watch", "e1", "--after", "x"],
        &["watch", "e1", "--after", "1", "--tail", "1"],
        &["watch", "e1", "--since", "soon"],
        &["create", "a b"],
        &["create", "--label", "novalue"],
        &["run", "--id", "a/b", "--", "true"],
        &["run"],
        &["list", "--phase", "done"],
        &["get", "e1", "--addr", "https://localhost:1"],
        &["append", "e1", "--type", "output", "--data", "{\"nothing\":1}"],
        &["append", "e1", "--type", "phase_changed", "--data", "{\"phase\":\"PHASE_UNSPECIFIED\"}"],
        &["trim", "e1", "--floor", "0"],
        &["get", "not/an/id"],
    ] {
        let done = daemon.shell(args);
        assert_eq!(done.code, Some(2), "{args:?}: {}", done.stderr);
        assert!(!done.stderr.is_empty(), "{args:?} says nothing");
    }
}

#[test]
fn what_the_daemon_refuses_is_exit_code_1_with_its_reason() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1", "--name", "one"]);
    let other = daemon.shell(&["create", "e1", "--name", "two"]);
    assert_eq!(other.code, Some(1));
    assert!(other.stderr.contains("EXECUTION_EXISTS"), "{}", other.stderr);

    let mismatch = daemon.shell(&["append", "e1", "--type", "t", "--data", "d", "--expect", "7"]);
    assert_eq!(mismatch.code, Some(1));
    assert!(mismatch.stderr.contains("SEQ_MISMATCH"), "{}", mismatch.stderr);
    assert!(mismatch.stderr.contains("tail_seq=1"), "{}", mismatch.stderr);

    daemon.end("e1", "COMPLETED");
    let ended = daemon.shell(&["append", "e1", "--type", "t", "--data", "d"]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("EXECUTION_ENDED"), "{}", ended.stderr);
}

#[test]
fn a_daemon_that_is_not_there_is_exit_code_5() {
    for args in [&["get", "e1"][..], &["list"], &["stats"], &["watch", "e1", "--reconnect-for", "300ms"]] {
        let done =
            finish(tapeline().args(args).args(["--addr", "http://127.0.0.1:1"]).stdin(Stdio::null()), b"");
        assert_eq!(done.code, Some(5), "{args:?}: {}", done.stderr);
        assert!(done.stderr.contains("http://127.0.0.1:1"), "{args:?}: {}", done.stderr);
    }
}

#[test]
fn what_a_watch_prints_can_be_appended_again() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let lines = concat!(
        r#"{"message_added":{"index":0,"message":{"type":"MESSAGE_AI","content":"hi","metadata":{"a":[1,null]}}}}"#,
        "\n\n",
        r#"{"message_text_appended":{"index":0,"text":" there"}}"#,
        "\n",
        r#"{"output":{"stream":"STREAM_STDERR","data_base64":"/wA="}}"#,
        "\n",
        r#"{"custom":{"type":"x","data":"{}","content_type":"application/json","attributes":{"k":"v"}}}"#,
    );
    let done = daemon.shell_with(&["append", "e1"], lines.as_bytes());
    assert_eq!(
        (done.code, done.text()),
        (Some(0), "4 events appended; the last is seq 5\n"),
        "{}",
        done.stderr
    );

    let shown = daemon.ok(&["logs", "e1", "--after", "1", "-o", "json"]);
    daemon.ok(&["create", "e2"]);
    let again = daemon.shell_with(&["append", "e2", "-o", "json"], &shown.stdout);
    assert_eq!(again.code, Some(0), "{}", again.stderr);
    assert_eq!(again.json().last().unwrap()["tail_seq"], 5);
    let body = |id: &str| -> Vec<_> {
        let bodies = daemon.events(id).into_iter().skip(1).map(|mut event| {
            for name in ["seq", "position", "record_time", "execution_id"] {
                event.as_object_mut().unwrap().remove(name);
            }
            event
        });
        bodies.collect()
    };
    assert_eq!(body("e1"), body("e2"));
    assert_eq!(body("e1")[2]["output"]["data_base64"], "/wA=");
}

#[test]
fn a_wrong_line_is_named_and_what_came_before_it_is_appended() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let lines = "{\"custom\":{\"type\":\"n\",\"data\":\"0\"}}\n\n{\"custom\":\n{\"custom\":{\"type\":\"n\",\"data\":\"1\"}}\n";
    let done = daemon.shell_with(&["append", "e1"], lines.as_bytes());
    assert_eq!(done.code, Some(2));
    assert!(done.stderr.contains("line 3"), "{}", done.stderr);
    assert_eq!(numbers(&daemon.events("e1")), [0]);
}

#[test]
fn a_line_is_appended_when_it_is_written_and_not_when_the_input_ends() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let mut command = daemon.command(&["append", "e1"]);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let stdin = child.stdin.as_mut().unwrap();
    std::io::Write::write_all(stdin, b"{\"custom\":{\"type\":\"n\",\"data\":\"7\"}}\n").unwrap();
    eventually(|| numbers(&daemon.events("e1")) == [7], &|| "the line is not appended".to_owned());
    drop(child.stdin.take());
    assert!(child.wait().unwrap().success());
}

#[test]
fn a_trimmed_log_begins_at_its_floor_and_its_watchers_are_told_of_the_gap() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    daemon.append_numbers("e1", 0..9);
    let trimmed = daemon.ok(&["trim", "e1", "--floor", "5", "-o", "json"]).json();
    assert_eq!(trimmed[0]["floor_seq"], 5);

    let shown = daemon.ok(&["logs", "e1", "--after", "2", "-o", "json"]).json();
    assert_eq!(shown[0]["gap"], serde_json::json!({ "from_seq": 3, "to_seq": 4 }));
    assert_eq!(seqs(&shown[1..]), [5, 6, 7, 8, 9, 10]);
    let pretty = daemon.ok(&["logs", "e1", "--after", "2"]);
    assert!(pretty.text().contains("events 3 to 4 are no longer kept"), "{}", pretty.text());
}

#[test]
fn whoever_starts_below_the_floor_is_told_once_what_is_no_longer_kept() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    daemon.append_numbers("e1", 0..9);
    daemon.ok(&["trim", "e1", "--floor", "5"]);
    for (args, said) in [
        (&[][..], Some("events 1 to 4 are no longer kept\n")),
        (&["--tail", "100"], Some("events 1 to 4 are no longer kept\n")),
        (&["--tail", "7"], Some("event 4 is no longer kept\n")),
        (&["--since", "1h"], Some("events 1 to 4 are no longer kept; some of them may belong here\n")),
        (&["--after", "2"], Some("events 3 to 4 are no longer kept\n")),
        (&["--after", "2", "-o", "raw"], Some("events 3 to 4 are no longer kept\n")),
        (&["--after", "4"], None),
        (&["--tail", "6"], None),
        (&["--since", "2100-01-01T00:00:00Z"], None),
    ] {
        let shown = daemon.ok(&[&["watch", "e1", "--no-follow"][..], args].concat());
        let expected = said.map(|said| format!("tapeline: {said}")).unwrap_or_default();
        assert_eq!(shown.stderr, expected, "{args:?}");
    }
}

#[test]
fn completions_are_made_for_every_shell() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let done = finish(tapeline().args(["completions", shell]).stdin(Stdio::null()), b"");
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        for verb in ["watch", "run", "demo", "cursor-file"] {
            assert!(done.text().contains(verb), "{shell} does not know {verb}");
        }
    }
}

#[test]
fn every_verb_has_a_manual_page() {
    let directory = tempfile::tempdir().unwrap();
    let done = finish(tapeline().arg("man").arg(directory.path()).stdin(Stdio::null()), b"");
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for verb in
        ["serve", "run", "watch", "logs", "wait", "create", "append", "get", "list", "delete", "trim", "demo"]
    {
        let page = std::fs::read_to_string(directory.path().join(format!("tapeline-{verb}.1"))).unwrap();
        assert!(page.contains(".SH SYNOPSIS"), "{verb}: {page}");
    }
    let page = finish(tapeline().arg("man").stdin(Stdio::null()), b"");
    assert!(page.text().contains("Exit codes"), "{}", page.text());
}
