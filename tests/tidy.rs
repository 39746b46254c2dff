//! The taste that can be checked: who imports whom, what every module says of itself, no dead files,
//! nothing forbidden, and documents that name only what exists. It reads text and compiles nothing.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Who may use whom inside the root package; `storage` is the engine's crate. Whoever is not named
/// may be used by nobody. The same table stands in ARCHITECTURE.md.
const MAY_USE: &[(&str, &[&str])] = &[
    ("main", &["cli"]),
    ("cli", &["daemon", "config", "logging", "proto", "limits"]),
    (
        "daemon",
        &["rpc", "agentexecution", "append", "watch", "broker", "execution", "config", "logging", "shutdown"],
    ),
    ("daemon", &["proto", "limits", "storage"]),
    ("config", &["limits"]),
    ("logging", &["config", "limits"]),
    ("shutdown", &["limits"]),
    ("rpc", &["agentexecution", "append", "watch", "execution", "proto", "limits", "storage"]),
    ("agentexecution", &["append", "watch", "broker", "execution", "shared", "proto", "limits", "storage"]),
    ("append", &["execution", "shared", "proto", "limits", "storage"]),
    ("watch", &["broker", "execution", "proto", "limits", "storage"]),
    ("broker", &["execution", "limits", "storage"]),
    ("execution", &["proto", "limits", "storage"]),
    ("shared", &["storage"]),
    ("proto", &["rpc"]),
    ("limits", &["storage"]),
    ("fuzz", &["watch", "broker", "execution", "proto", "storage"]),
];

/// A file that may use more than its room: it prints the name of the store.
const MAY_USE_TOO: (&str, &str) = ("src/cli/serve.rs", "storage");

/// Crates that only these rooms may name.
const ONLY_IN: &[(&str, &[&str])] = &[
    ("tonic", &["rpc", "daemon", "cli", "proto"]),
    ("hyper", &["daemon"]),
    ("hyper_util", &["daemon"]),
    ("clap", &["cli", "config", "logging", "main"]),
    ("redb", &[]),
    ("bincode", &[]),
];

/// What `storage` must never depend on.
const NOT_IN_STORAGE: &[&str] = &["prost", "tonic", "hyper", "http", "tapeline", "serde_json"];

/// Lines of the longest file.
const FILE_LINES_MAX: usize = 500;

/// What may stand nowhere outside of tests.
const FORBIDDEN: &[&str] = &["todo!(", "unimplemented!(", "dbg!(", ".unwrap()"];

/// The one file whose commits may skip the sync.
const COMMITS_WITHOUT_SYNC: &str = "storage/src/redb/archive/units.rs";

/// The promises that must have tests.
const PROMISES: &[(&str, usize)] = &[("A", 6), ("W", 9), ("S", 7), ("C", 5)];

/// A source file of the project.
struct Source {
    /// From the project's root, with slashes.
    path: String,
    text: String,
}

impl Source {
    /// Its lines without comments. A `//` inside a string ends the line too, which is good enough here.
    fn code(&self) -> String {
        let code = |line: &str| line.split("//").next().unwrap_or_default().to_owned();
        self.text.lines().map(code).collect::<Vec<_>>().join("\n")
    }

    /// Its code up to its tests, which stand at the end of a file; empty if all of it is for tests.
    fn product_code(&self) -> String {
        let for_tests = ["/tests/", "/testing/", "/test_util/"].iter().any(|part| self.path.contains(part));
        if for_tests || self.path.starts_with("tests/") || self.path.ends_with("tests.rs") {
            return String::new();
        }
        let code = self.code();
        let end = code.find("#[cfg(test)]\nmod ").unwrap_or(code.len());
        code[..end].to_owned()
    }

    /// The room of the root package it stands in.
    fn room(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("src/")?;
        let room = rest.split('/').next()?;
        Some(room.strip_suffix(".rs").unwrap_or(room)).filter(|room| *room != "lib")
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// All files with this ending below some folders, sorted.
fn files(folders: &[&str], ending: &str) -> Vec<Source> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of the project is readable") {
            let path = entry.expect("an entry is readable").path();
            if path.is_dir() && !path.ends_with("target") && !path.ends_with("corpus") {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == ending) {
                let text = fs::read_to_string(&path).expect("a source file is UTF-8");
                let path =
                    path.strip_prefix(root()).expect("it is below the root").to_string_lossy().into_owned();
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(!found.is_empty(), "the files are not where this test looks");
    found
}

fn sources() -> Vec<Source> {
    files(
        &["src", "storage/src", "tests", "benches", "storage/tests", "storage/benches", "fuzz"].map(existing),
        "rs",
    )
}

/// The folder, or one that surely exists and holds no source of its own.
fn existing(folder: &'static str) -> &'static str {
    if root().join(folder).is_dir() { folder } else { "proto" }
}

fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}

/// The first names of all paths that follow `prefix`, groups in braces included.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for (at, _) in code.match_indices(prefix) {
        if code[..at].ends_with(is_word) || code[..at].ends_with("::") {
            continue;
        }
        match code[at + prefix.len()..].strip_prefix('{') {
            Some(group) => names.extend(first_names_of_group(group)),
            None => names.extend(first_name(&code[at + prefix.len()..])),
        }
    }
    names
}

fn first_names_of_group(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            '}' | ',' if depth == 0 => {
                names.extend(first_name(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
        match letter {
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

fn first_name(path: &str) -> Option<String> {
    let name: String = path.trim_start().chars().take_while(|letter| is_word(*letter)).collect();
    (!name.is_empty()).then_some(name)
}

/// The rooms that a file's code names, by `crate::` and by `super::` out of its own room.
fn rooms_named(source: &Source, room: &str) -> BTreeSet<String> {
    let code = source.code();
    let mut named = names_after(&code, "crate::");
    let depth = source.path.matches('/').count() - usize::from(source.path.ends_with("/mod.rs"));
    named.extend(names_after(&code, &"super::".repeat(depth)));
    if !names_after(&code, "tapeline_storage::").is_empty() {
        named.insert("storage".to_owned());
    }
    if room == "main" {
        named.extend(names_after(&code, "tapeline::"));
    }
    named.retain(|name| name != room && MAY_USE.iter().any(|(room, _)| room == name) || name == "storage");
    named
}

#[test]
fn the_import_table_holds() {
    let mut complaints = Vec::new();
    for source in files(&["src"], "rs") {
        let Some(room) = source.room() else { continue };
        if !MAY_USE.iter().any(|(known, _)| *known == room) {
            complaints.push(format!("{}: the room `{room}` is not in the table", source.path));
        }
        for named in rooms_named(&source, room) {
            let may = MAY_USE.iter().any(|(user, used)| *user == room && used.contains(&named.as_str()));
            if !may && (source.path.as_str(), named.as_str()) != MAY_USE_TOO {
                complaints.push(format!("{}: `{room}` may not use `{named}`", source.path));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn crates_of_one_room_are_named_in_no_other() {
    let mut complaints = Vec::new();
    for source in files(&["src"], "rs") {
        let room = source.room().unwrap_or("lib");
        for (name, rooms) in ONLY_IN {
            if !rooms.contains(&room) && !names_after(&source.product_code(), &format!("{name}::")).is_empty()
            {
                complaints.push(format!("{}: `{room}` may not name the crate `{name}`", source.path));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn storage_knows_no_protobuf_and_no_network_and_keeps_redb_to_itself() {
    let manifest = fs::read_to_string(root().join("storage/Cargo.toml")).expect("the engine has a manifest");
    let depends = |name: &str| manifest.lines().any(|line| first_dependency(line) == Some(name));
    let mut complaints: Vec<String> = NOT_IN_STORAGE
        .iter()
        .filter(|name| depends(name))
        .map(|name| format!("storage depends on {name}"))
        .collect();
    for source in files(&["storage/src"], "rs") {
        let outside = !source.path.starts_with("storage/src/redb/") && source.path != "storage/src/lib.rs";
        if outside && !names_after(&source.product_code(), "redb::").is_empty() {
            complaints.push(format!("{}: only `redb/` names redb", source.path));
        }
    }
    assert!(depends("redb"), "the manifest is not read as it should be");
    assert_none(&complaints);
}

fn first_dependency(line: &str) -> Option<&str> {
    line.split(['.', ' ', '=']).next().filter(|name| !name.is_empty() && !line.starts_with(['#', '[']))
}

#[test]
fn every_module_opens_with_what_it_owns() {
    let silent = sources().into_iter().filter(|source| !source.text.starts_with("//! "));
    assert_none(&silent.map(|source| format!("{}: opens without //!", source.path)).collect::<Vec<_>>());
}

#[test]
fn no_file_is_dead() {
    let all: BTreeSet<String> =
        files(&["src", "storage/src"], "rs").into_iter().map(|source| source.path).collect();
    let mut alive = BTreeSet::new();
    for start in ["src/lib.rs", "src/main.rs", "storage/src/lib.rs"] {
        reach(start, &mut alive);
    }
    assert_none(
        &all.difference(&alive).map(|path| format!("{path}: no `mod` line leads here")).collect::<Vec<_>>(),
    );
}

/// Adds a file and whatever its `mod` lines lead to.
fn reach(path: &str, alive: &mut BTreeSet<String>) {
    let Ok(text) = fs::read_to_string(root().join(path)) else { return };
    alive.insert(path.to_owned());
    let is_top = ["/mod.rs", "/lib.rs", "/main.rs"].iter().any(|name| path.ends_with(name));
    let folder =
        if is_top { path.rsplit_once('/').map_or("", |(folder, _)| folder) } else { &path[..path.len() - 3] };
    for line in text.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        if let [.., "mod", name] = words[..]
            && let Some(name) = name.strip_suffix(';')
        {
            reach(&format!("{folder}/{name}.rs"), alive);
            reach(&format!("{folder}/{name}/mod.rs"), alive);
        }
    }
}

#[test]
fn no_file_is_too_long() {
    let long = sources().into_iter().filter(|source| source.text.lines().count() > FILE_LINES_MAX);
    assert_none(
        &long.map(|source| format!("{}: more than {FILE_LINES_MAX} lines", source.path)).collect::<Vec<_>>(),
    );
}

#[test]
fn nothing_forbidden_stands_in_the_product() {
    let mut complaints = Vec::new();
    for source in files(&["src", "storage/src"], "rs") {
        let code = source.product_code();
        for (at, line) in code.lines().enumerate() {
            let found = FORBIDDEN.iter().filter(|word| line.contains(**word));
            complaints.extend(found.map(|word| format!("{}:{}: `{word}`", source.path, at + 1)));
        }
        if code.contains("unsafe ") {
            complaints.push(format!("{}: unsafe code", source.path));
        }
        if code.contains("Durability::None") && source.path != COMMITS_WITHOUT_SYNC {
            complaints.push(format!("{}: a commit without a sync", source.path));
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_promise_names_tests_and_every_named_test_exists() {
    let document = fs::read_to_string(root().join("docs/guarantees.md")).expect("the guarantees are written");
    let mut promise = String::new();
    let (mut proven, mut complaints) = (BTreeSet::new(), Vec::new());
    for line in document.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            promise = title.split(' ').next().unwrap_or_default().to_owned();
        } else if let Some((name, path)) = named_test(line) {
            proven.insert(promise.clone());
            let text = fs::read_to_string(root().join(path)).unwrap_or_default();
            if !text.contains(&format!("fn {name}(")) {
                complaints.push(format!("{promise}: there is no test `{name}` in {path}"));
            }
        }
    }
    for (letter, last) in PROMISES {
        let missing = (1..=*last).map(|number| format!("{letter}{number}")).filter(|id| !proven.contains(id));
        complaints.extend(missing.map(|id| format!("{id} names no test")));
    }
    assert_none(&complaints);
}

/// A line such as "- `name` in `path`".
fn named_test(line: &str) -> Option<(&str, &str)> {
    let (name, path) = line.trim().strip_prefix("- `")?.split_once("` in `")?;
    Some((name, path.strip_suffix('`')?))
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut complaints = Vec::new();
    let mut documents = files(&["docs"], "md");
    for name in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"] {
        let text = fs::read_to_string(root().join(name)).expect("the document exists");
        documents.push(Source { path: name.to_owned(), text });
    }
    for document in &documents {
        let folder = root().join(&document.path).parent().map(Path::to_path_buf).unwrap_or_default();
        let targets = document.text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
        for target in targets.filter(|target| !target.contains("://") && !target.starts_with('#')) {
            let file = target.split('#').next().unwrap_or_default();
            if !folder.join(file).exists() {
                complaints.push(format!("{}: `{target}` leads nowhere", document.path));
            }
        }
    }
    assert_none(&complaints);
}

#[test]
fn every_decision_is_in_the_index() {
    let index = fs::read_to_string(root().join("docs/adr/README.md")).expect("the index exists");
    for decision in files(&["docs/adr"], "md") {
        let name = decision.path.rsplit('/').next().unwrap_or_default();
        assert!(name == "README.md" || index.contains(&format!("({name})")), "{name} is not in the index");
    }
}

#[test]
fn the_reader_of_imports_sees_groups_and_not_comments() {
    let text = "use crate::{append::Appender, watch::{self, Watches}, limits};\nlet x = crate::rpc::y();\n// crate::cli\npub(crate) fn f() {}";
    let source = Source { path: "src/daemon.rs".to_owned(), text: text.to_owned() };
    let named: Vec<_> = rooms_named(&source, "daemon").into_iter().collect();
    assert_eq!(named, ["append", "limits", "rpc", "watch"]);
    let source = Source {
        path: "src/rpc/a.rs".to_owned(),
        text: "use super::super::cli;\nuse super::codec;".to_owned(),
    };
    assert_eq!(rooms_named(&source, "rpc").into_iter().collect::<Vec<_>>(), ["cli"]);
}
