//! What the store refuses on behalf of the domain: phases that go backwards, indexes beyond their
//! list. Called by the store's writer for each append, so it decodes no more than numbers.

use bytes::Buf;
use prost::Message;
use tapeline_storage::{NewEvent, Phase, Reject, RuleState, Rules};

use super::event::CREATED;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;

/// The rules of executions. What they remember is a phase and the lengths of three lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutionRules;

impl Rules for ExecutionRules {
    fn admit(&self, state: &[u8], events: &[NewEvent]) -> Result<RuleState, Reject> {
        let mut lengths = Lengths::decode_state(state);
        for (index, event) in events.iter().enumerate() {
            lengths.take(event).map_err(|(field, description)| Reject {
                field: format!("events[{index}].{field}"),
                description,
            })?;
        }
        Ok(lengths.encode_state())
    }
}

/// Where an execution stands, as far as an append can contradict it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Lengths {
    phase: u8,
    messages: u32,
    tool_calls: u32,
    sub_agents: u32,
}

type Wrong = (&'static str, String);

impl Lengths {
    /// 13 bytes: the phase, then the lengths, little endian. Nothing before the creation.
    fn encode_state(&self) -> RuleState {
        let mut state = vec![self.phase];
        for length in [self.messages, self.tool_calls, self.sub_agents] {
            state.extend_from_slice(&length.to_le_bytes());
        }
        state
    }

    fn decode_state(mut state: &[u8]) -> Self {
        let mut lengths = Self { phase: state.try_get_u8().unwrap_or_default(), ..Self::default() };
        for length in [&mut lengths.messages, &mut lengths.tool_calls, &mut lengths.sub_agents] {
            *length = state.try_get_u32_le().unwrap_or_default();
        }
        lengths
    }

    fn take(&mut self, event: &NewEvent) -> Result<(), Wrong> {
        match event.type_tag {
            CREATED | 11 => self.take_phase(event),
            12..=16 | 19 | 22 | 23 => {
                let numbers = Numbers::decode(event.payload.clone())
                    .map_err(|error| ("body", format!("it does not decode: {error}")))?;
                self.take_numbers(&numbers)
            }
            _ => Ok(()),
        }
    }

    fn take_phase(&mut self, event: &NewEvent) -> Result<(), Wrong> {
        let Some(phase) = event.head_change.as_ref().and_then(|change| change.phase) else { return Ok(()) };
        if (phase as u8) < self.phase {
            let now = Phase::from_number(self.phase).map_or_else(String::new, |now| format!("{now:?}"));
            return Err(("phase_changed.phase", format!("{phase:?} cannot follow {now}")));
        }
        self.phase = phase as u8;
        Ok(())
    }

    fn take_numbers(&mut self, numbers: &Numbers) -> Result<(), Wrong> {
        if let Some(added) = &numbers.message_added {
            return add("message_added.index", added.index, &mut self.messages);
        }
        if let Some(text) = &numbers.message_text_appended {
            return inside("message_text_appended.index", text.index, self.messages);
        }
        if let Some(replaced) = &numbers.message_replaced {
            return inside("message_replaced.index", replaced.index, self.messages);
        }
        if let Some(set) = &numbers.tool_call_set {
            return set_or_add("tool_call_set.index", set.index, &mut self.tool_calls);
        }
        if let Some(set) = &numbers.sub_agent_set {
            return set_or_add("sub_agent_set.index", set.index, &mut self.sub_agents);
        }
        if let Some(set) = &numbers.message_tool_call_set {
            return inside("message_tool_call_set.index", set.index, self.messages);
        }
        if let Some(text) = &numbers.text_appended {
            return self.take_text(text);
        }
        numbers.list_truncated.as_ref().map_or(Ok(()), |truncated| self.truncate(truncated))
    }

    fn take_text(&self, text: &TextNumbers) -> Result<(), Wrong> {
        let length = match Target::try_from(text.target) {
            Ok(Target::ToolCallResult) => self.tool_calls,
            Ok(Target::SubAgentOutput) => self.sub_agents,
            Ok(Target::Unspecified) | Err(_) => {
                return Err(("text_appended.target", format!("{} is not a target", text.target)));
            }
        };
        inside("text_appended.index", text.index, length)
    }

    fn truncate(&mut self, truncated: &ListNumbers) -> Result<(), Wrong> {
        let length = match List::try_from(truncated.list) {
            Ok(List::Messages) => &mut self.messages,
            Ok(List::ToolCalls) => &mut self.tool_calls,
            Ok(List::SubAgents) => &mut self.sub_agents,
            Ok(List::Unspecified) | Err(_) => {
                return Err(("list_truncated.list", format!("{} is not a list", truncated.list)));
            }
        };
        if truncated.length > *length {
            let description = format!("the list has {length} entries, not {} or more", truncated.length);
            return Err(("list_truncated.length", description));
        }
        *length = truncated.length;
        Ok(())
    }
}

fn inside(field: &'static str, index: u32, length: u32) -> Result<(), Wrong> {
    if index < length { Ok(()) } else { Err((field, format!("{index} is not in a list of {length}"))) }
}

fn add(field: &'static str, index: u32, length: &mut u32) -> Result<(), Wrong> {
    if index != *length {
        return Err((field, format!("the next one is {length}, not {index}")));
    }
    *length = length.checked_add(1).ok_or_else(|| (field, "the list is full".to_owned()))?;
    Ok(())
}

fn set_or_add(field: &'static str, index: u32, length: &mut u32) -> Result<(), Wrong> {
    if index < *length { Ok(()) } else { add(field, index, length) }
}

/// The numbers of an event's body; everything else in it is skipped, not decoded.
#[derive(Clone, PartialEq, Message)]
struct Numbers {
    #[prost(message, optional, tag = "12")]
    message_added: Option<IndexNumber>,
    #[prost(message, optional, tag = "13")]
    message_text_appended: Option<IndexNumber>,
    #[prost(message, optional, tag = "14")]
    message_replaced: Option<IndexNumber>,
    #[prost(message, optional, tag = "15")]
    tool_call_set: Option<IndexNumber>,
    #[prost(message, optional, tag = "16")]
    sub_agent_set: Option<IndexNumber>,
    #[prost(message, optional, tag = "19")]
    list_truncated: Option<ListNumbers>,
    #[prost(message, optional, tag = "22")]
    text_appended: Option<TextNumbers>,
    #[prost(message, optional, tag = "23")]
    message_tool_call_set: Option<IndexNumber>,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct IndexNumber {
    #[prost(uint32, tag = "1")]
    index: u32,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct ListNumbers {
    #[prost(int32, tag = "1")]
    list: i32,
    #[prost(uint32, tag = "2")]
    length: u32,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct TextNumbers {
    #[prost(int32, tag = "1")]
    target: i32,
    #[prost(uint32, tag = "2")]
    index: u32,
}

#[cfg(test)]
mod tests;
