//! Which events a watcher wants, by type. Compiled once for each watch, asked for each event.

use super::invalid::{Excess, Invalid};
use super::kind;
use crate::limits::{EVENT_TYPE_BYTES_MAX, EVENT_TYPES_MAX};

/// The field of a request that has the names.
const FIELD: &str = "event_types";

/// A filter by type: names of body fields, custom types, or beginnings of either with a trailing `*`.
/// The empty one wants everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TypeFilter {
    /// A bit for each wanted body field, by its number.
    fields: u64,
    names: Box<[Box<str>]>,
    prefixes: Box<[Box<str>]>,
    everything_else_is_unwanted: bool,
}

impl TypeFilter {
    /// Compiles a list of names. A name that is no body field is taken as a custom type, for the two
    /// cannot be told apart.
    pub fn compile(names: &[String]) -> Result<Self, Invalid> {
        if let Some(excess) = Excess::over(EVENT_TYPES_MAX, names.len()) {
            let description = format!("there are {} names, the limit is {EVENT_TYPES_MAX}", names.len());
            return Err(Invalid::beyond(FIELD, description, excess));
        }
        let mut filter = Self { everything_else_is_unwanted: !names.is_empty(), ..Self::default() };
        let (mut exact, mut prefixes) = (Vec::new(), Vec::new());
        for (index, name) in names.iter().enumerate() {
            Invalid::check_length(&format!("{FIELD}[{index}]"), name, 1, EVENT_TYPE_BYTES_MAX)?;
            match name.strip_suffix('*') {
                Some(prefix) => prefixes.push(prefix.into()),
                None => exact.push(name.as_str().into()),
            }
        }
        filter.names = exact.into();
        filter.prefixes = prefixes.into();
        let wanted = kind::ALL.iter().filter(|(name, _)| filter.matches_name(name));
        filter.fields = wanted.fold(0, |fields, (_, number)| fields | 1 << number);
        Ok(filter)
    }

    /// Whether it wants every event.
    pub fn wants_all(&self) -> bool {
        !self.everything_else_is_unwanted
    }

    /// Whether it wants an event of this kind and, for a custom one, of this type.
    pub fn wants(&self, type_tag: u32, custom_type: Option<&str>) -> bool {
        self.wants_all()
            || self.fields.checked_shr(type_tag).is_some_and(|fields| fields & 1 == 1)
            || custom_type.is_some_and(|name| self.matches_name(name))
    }

    fn matches_name(&self, name: &str) -> bool {
        self.names.iter().any(|wanted| **wanted == *name)
            || self.prefixes.iter().any(|prefix| name.starts_with(&**prefix))
    }
}

#[cfg(test)]
mod tests {
    use prost::Message;
    use prost_types::FileDescriptorSet;

    use super::*;
    use crate::proto::FILE_DESCRIPTOR_SET;

    fn filter(names: &[&str]) -> TypeFilter {
        let names: Vec<String> = names.iter().map(|&name| name.to_owned()).collect();
        TypeFilter::compile(&names).expect("the names are fine")
    }

    #[test]
    fn the_body_fields_are_those_of_the_wire() {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build script encoded it");
        let messages = set.file.iter().filter(|file| file.package() == "tapeline.v1");
        let event = messages.flat_map(|file| &file.message_type).find(|message| message.name() == "Event");
        let fields =
            event.expect("there is an Event").field.iter().filter(|field| field.oneof_index.is_some());
        let on_the_wire: Vec<_> = fields.map(|field| (field.name(), field.number() as u32)).collect();
        assert_eq!(on_the_wire, kind::ALL);
    }

    #[test]
    fn an_empty_filter_wants_everything() {
        let all = filter(&[]);
        assert!(all.wants_all());
        assert!(all.wants(21, None) && all.wants(30, Some("x")) && all.wants(99, None));
    }

    #[test]
    fn names_of_body_fields_and_custom_types_are_matched_whole() {
        let some = filter(&["output", "my.metric"]);
        assert!(!some.wants_all());
        assert!(some.wants(21, None));
        assert!(some.wants(30, Some("my.metric")));
        assert!(!some.wants(30, Some("my.metrics")));
        assert!(!some.wants(30, Some("my")));
        assert!(!some.wants(22, None));
        assert!(filter(&["custom"]).wants(30, Some("whatever")), "the field is all custom events");
    }

    #[test]
    fn a_trailing_star_matches_every_name_that_begins_so() {
        let messages = filter(&["message_*", "my.*"]);
        assert!([12, 13, 14, 23].iter().all(|&tag| messages.wants(tag, None)));
        assert!(!messages.wants(11, None));
        assert!(messages.wants(30, Some("my.metric")) && messages.wants(30, Some("my.")));
        assert!(!messages.wants(30, Some("yours")));
        let any = filter(&["*"]);
        assert!(any.wants(10, None) && any.wants(30, Some("")));
    }

    #[test]
    fn an_unknown_type_tag_is_unwanted_by_every_filter_with_names() {
        assert!(!filter(&["*"]).wants(64, None));
        assert!(!filter(&["output"]).wants(u32::MAX, None));
    }

    #[test]
    fn empty_long_and_too_many_names_are_refused_with_their_place() {
        let refused = |names: Vec<String>| match TypeFilter::compile(&names).expect_err("it is refused") {
            Invalid::Field { field, excess, .. } => (field, excess),
            other => panic!("another error: {other}"),
        };
        assert_eq!(refused(vec!["output".into(), String::new()]), ("event_types[1]".into(), None));
        let long = Excess::over(EVENT_TYPE_BYTES_MAX, EVENT_TYPE_BYTES_MAX + 1);
        assert_eq!(refused(vec!["x".repeat(EVENT_TYPE_BYTES_MAX + 1)]), ("event_types[0]".into(), long));
        let many = Excess::over(EVENT_TYPES_MAX, EVENT_TYPES_MAX + 1);
        assert_eq!(refused(vec!["x".into(); EVENT_TYPES_MAX + 1]), ("event_types".into(), many));
        assert!(TypeFilter::compile(&["x".repeat(EVENT_TYPE_BYTES_MAX)]).is_ok());
    }
}
