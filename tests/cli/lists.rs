//! What the verbs that show many things say: rows, counts, times, and that there is nothing.

use std::process::Stdio;

use super::support::{Daemon, Running, finish};

#[test]
fn a_list_counts_the_events_that_are_kept_and_takes_phases_as_people_write_them() {
    let daemon = Daemon::start();
    for id in ["whole", "trimmed"] {
        daemon.ok(&["create", id]);
        daemon.append_numbers(id, 0..9);
    }
    daemon.ok(&["trim", "trimmed", "--floor", "8"]);
    let listed = daemon.ok(&["list"]);
    let row = |id: &str| -> Vec<&str> {
        let line = listed.text().lines().find(|line| line.starts_with(id)).unwrap();
        line.split_whitespace().take(3).collect()
    };
    assert_eq!(row("whole"), ["whole", "PENDING", "10"]);
    assert_eq!(row("trimmed"), ["trimmed", "PENDING", "3"]);

    let running = r#"{"phase":"PHASE_IN_PROGRESS"}"#;
    daemon.ok(&["append", "whole", "--type", "phase_changed", "--data", running]);
    for phase in ["in-progress", "in_progress", "IN_PROGRESS", "In-Progress"] {
        let listed = daemon.ok(&["list", "--phase", phase, "-o", "json"]).json();
        assert_eq!(listed.len(), 1, "{phase}");
        assert_eq!(listed[0]["id"], "whole", "{phase}");
    }
}

#[test]
fn that_there_is_nothing_to_list_is_said_to_people_and_not_to_scripts() {
    let daemon = Daemon::start();
    for (args, said) in [
        (&["list"][..], "tapeline: no executions\n"),
        (&["list", "--phase", "failed", "--all"], "tapeline: no executions\n"),
        (&["watchers"], "tapeline: no watchers\n"),
        (&["list", "-o", "json"], ""),
        (&["watchers", "-o", "json"], ""),
    ] {
        let done = daemon.ok(args);
        assert_eq!((done.text(), done.stderr.as_str()), ("", said), "{args:?}");
    }
    daemon.ok(&["create", "e1"]);
    assert_eq!(daemon.ok(&["list"]).stderr, "");
}

#[test]
fn times_of_an_execution_and_of_its_events_are_in_the_zone_of_the_machine() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let shown = |args: &[&str]| {
        let done = finish(daemon.command(args).env("TZ", "ABC-5:30").stdin(Stdio::null()), b"");
        assert_eq!(done.code, Some(0), "{}", done.stderr);
        done.text().to_owned()
    };
    let (execution, log) = (shown(&["get", "e1"]), shown(&["logs", "e1"]));
    let created = execution.lines().find_map(|line| line.strip_prefix("created")).unwrap().trim();
    assert!(created.ends_with("+05:30"), "{execution}");
    let clock = log.split(' ').next().unwrap();
    assert_eq!(created.get(11..19), Some(clock), "{execution}{log}");
}

#[test]
fn watchers_and_figures_are_shown() {
    let daemon = Daemon::start();
    daemon.ok(&["create", "e1"]);
    let watch = Running::start(&mut daemon.command(&["watch", "e1", "-o", "json"]));
    watch.wait_for_lines(1);
    let listed = daemon.ok(&["watchers", "-o", "json"]).json();
    assert_eq!(listed.len(), 1);
    assert_eq!((&listed[0]["execution_id"], &listed[0]["cursor_seq"]), (&"e1".into(), &1.into()));
    assert!(daemon.ok(&["watchers", "e1"]).text().contains("e1"));
    assert_eq!(daemon.ok(&["watchers", "other"]).text(), "");

    let stats = daemon.ok(&["stats", "-o", "json"]).json();
    assert_eq!((&stats[0]["watchers"], &stats[0]["tail_position"]), (&1.into(), &1.into()));
    assert!(daemon.ok(&["stats"]).text().contains("has room"));
}
