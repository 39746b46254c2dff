//! `docs/cli-json.md`, read as the schema it is.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value};

/// What the document says, and how much of it was seen.
#[derive(Default)]
pub(super) struct Document {
    /// The kinds of lines each command prints.
    pub(super) commands: BTreeMap<String, Vec<String>>,
    objects: BTreeMap<String, Vec<Field>>,
    /// The names of each enumeration's values.
    pub(super) enumerations: BTreeMap<String, BTreeSet<String>>,
    seen: BTreeSet<(String, String)>,
}

struct Field {
    name: String,
    kind: String,
    optional: bool,
}

impl Document {
    /// The document of this project.
    pub(super) fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/cli-json.md");
        let (mut document, mut section) = (Self::default(), String::new());
        for line in std::fs::read_to_string(path).unwrap().lines() {
            if let Some(heading) = line.strip_prefix('#') {
                section = heading.trim_start_matches(['#', ' ']).to_owned();
            } else if let Some(cells) = cells(line) {
                document.row(&section, &cells);
            }
        }
        document
    }

    fn row(&mut self, section: &str, cells: &[&str]) {
        match (section, cells) {
            ("Commands", [commands, kinds, _]) => {
                for command in quoted(commands) {
                    self.commands.insert(command, kinds.split(" or ").map(str::to_owned).collect());
                }
            }
            ("Enumerations", [name, values]) => {
                self.enumerations.insert((*name).to_owned(), quoted(values).collect());
            }
            (object, [name, kind, _]) => {
                let name = quoted(name).next().unwrap_or_else(|| panic!("{object}: {name} is not a name"));
                let (kind, optional) = (kind.trim_end_matches('?').to_owned(), kind.ends_with('?'));
                self.objects.entry(object.to_owned()).or_default().push(Field { name, kind, optional });
            }
            _ => panic!("{section}: a row of another table: {cells:?}"),
        }
    }

    /// Compares a line that a command printed.
    pub(super) fn check(&mut self, command: &str, line: &Value) {
        let kinds = self.commands.get(command).unwrap_or_else(|| panic!("{command} is not documented"));
        let fits = |kind: &&String| {
            self.fields(kind).iter().all(|field| field.optional || line.get(&field.name).is_some())
        };
        let kind = kinds.iter().find(fits).unwrap_or_else(|| panic!("{command}: none of {kinds:?}: {line}"));
        self.check_as(&kind.clone(), line);
    }

    fn check_as(&mut self, kind: &str, value: &Value) {
        if let Some(inner) = kind.strip_prefix("list of ") {
            let entries = value.as_array().unwrap_or_else(|| panic!("no list of {inner}: {value}"));
            return entries.iter().for_each(|entry| self.check_as(inner, entry));
        }
        if let Some(inner) = kind.strip_prefix("map of ") {
            let entries = value.as_object().unwrap_or_else(|| panic!("no map of {inner}: {value}"));
            return entries.values().for_each(|entry| self.check_as(inner, entry));
        }
        let fits = match kind {
            "string" => value.is_string(),
            "integer" => value.is_u64() || value.is_i64(),
            "boolean" => value.is_boolean(),
            "object" => value.is_object(),
            "time" => value.as_str().is_some_and(|text| text.ends_with('Z') && is_time(text)),
            "duration" => value.as_str().and_then(|text| text.strip_suffix('s')).is_some_and(is_number),
            _ => match self.enumerations.get(kind) {
                Some(values) => value.as_str().is_some_and(|text| values.contains(text)),
                None => return self.check_object(kind, value),
            },
        };
        assert!(fits, "no {kind}: {value}");
    }

    fn check_object(&mut self, kind: &str, value: &Value) {
        let entries: &Map<_, _> = value.as_object().unwrap_or_else(|| panic!("no {kind}: {value}"));
        for field in self.fields(kind) {
            assert!(
                field.optional || entries.contains_key(&field.name),
                "{kind}.{} is missing: {value}",
                field.name
            );
        }
        for (name, value) in entries {
            let field = self.fields(kind).iter().find(|field| field.name == *name);
            let inner =
                field.unwrap_or_else(|| panic!("{kind}.{name} is not documented: {value}")).kind.clone();
            self.seen.insert((kind.to_owned(), name.clone()));
            self.check_as(&inner, value);
        }
    }

    fn fields(&self, kind: &str) -> &[Field] {
        self.objects.get(kind).unwrap_or_else(|| panic!("the type {kind} is not documented"))
    }

    /// The fields that stand in the document and were never printed.
    pub(super) fn unseen(&self) -> Vec<String> {
        let all = self
            .objects
            .iter()
            .flat_map(|(kind, fields)| fields.iter().map(move |field| (kind, &field.name)));
        all.filter(|(kind, name)| !self.seen.contains(&((*kind).clone(), (*name).clone())))
            .map(|(kind, name)| format!("{kind}.{name}"))
            .collect()
    }
}

/// The cells of a row of a table; not of its head and not of the line below it.
fn cells(line: &str) -> Option<Vec<&str>> {
    let cells: Vec<_> = line.strip_prefix("| ")?.strip_suffix(" |")?.split(" | ").map(str::trim).collect();
    let is_head = ["field", "command", "type"].contains(cells.first()?);
    (!is_head).then_some(cells)
}

/// The texts between backquotes.
fn quoted(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(str::to_owned)
}

fn is_time(text: &str) -> bool {
    text.parse::<jiff::Timestamp>().is_ok()
}

fn is_number(text: &str) -> bool {
    text.parse::<f64>().is_ok()
}
