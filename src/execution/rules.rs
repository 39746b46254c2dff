//! The rules of an execution's log, as the engine's writer asks them: phases only move forward, an index
//! lies inside its list. They remember the phase and three lengths, and read no more of a payload than
//! the two or three numbers a rule needs. Pure and quick: the one writer thread waits for them.

use bytes::Bytes;
use prost::Message;
use prost::encoding::{decode_key, decode_varint};
use tapeline_storage::{NewEvent, Phase, Reject, RuleState, Rules};

use super::kind;
use super::phase;
use crate::proto::v1::list_truncated::List;
use crate::proto::v1::text_appended::Target;

/// The rules that the store is opened with.
#[derive(Clone, Copy, Debug, Default)]
pub struct ExecutionRules;

impl Rules for ExecutionRules {
    fn admit(&self, state: &[u8], events: &[NewEvent]) -> Result<RuleState, Reject> {
        let mut state =
            State::decode(state).ok_or_else(|| reject("", "the state of the rules is damaged"))?;
        for (index, event) in events.iter().enumerate() {
            state.admit(event).map_err(|refused| refused.at(index))?;
        }
        Ok(state.encode())
    }
}

/// What the rules remember of an execution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct State {
    phase: Phase,
    messages: u32,
    tool_calls: u32,
    sub_agents: u32,
}

/// Why one event is refused: the field below the event, and what is wrong with it.
struct Refused {
    field: &'static str,
    description: String,
}

impl Refused {
    fn at(self, index: usize) -> Reject {
        reject(&format!("events[{index}].{}", self.field), &self.description)
    }
}

/// The fields that some rule asks for. Every body that has an index, a length or a target has it under
/// these numbers, which the tests hold against the real messages; whatever else is there is skipped.
#[derive(Clone, PartialEq, Message)]
struct Indexed {
    #[prost(uint32, tag = "1")]
    index: u32,
}

#[derive(Clone, PartialEq, Message)]
struct Aimed {
    #[prost(int32, tag = "1")]
    target: i32,
    #[prost(uint32, tag = "2")]
    number: u32,
}

impl State {
    /// The version byte, the phase, three lengths of four bytes.
    const LENGTH: usize = 14;
    const VERSION: u8 = 1;

    fn encode(&self) -> RuleState {
        let mut bytes = vec![Self::VERSION, self.phase as u8];
        for length in [self.messages, self.tool_calls, self.sub_agents] {
            bytes.extend(length.to_le_bytes());
        }
        bytes
    }

    /// The state before the creation is empty.
    fn decode(bytes: &[u8]) -> Option<Self> {
        if bytes.is_empty() {
            return Some(Self { phase: Phase::Pending, messages: 0, tool_calls: 0, sub_agents: 0 });
        }
        let bytes: &[u8; Self::LENGTH] = bytes.try_into().ok()?;
        let [version, phase, lengths @ ..] = bytes;
        let length = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| lengths[at * 4 + byte]));
        let state = Self {
            phase: Phase::from_number(*phase)?,
            messages: length(0),
            tool_calls: length(1),
            sub_agents: length(2),
        };
        (*version == Self::VERSION).then_some(state)
    }

    fn admit(&mut self, event: &NewEvent) -> Result<(), Refused> {
        match event.type_tag {
            kind::PHASE_CHANGED => self.change_phase(event),
            kind::MESSAGE_ADDED => self.add_message(index(event)?),
            kind::MESSAGE_TEXT_APPENDED => {
                inside("message_text_appended.index", index(event)?, self.messages)
            }
            kind::MESSAGE_REPLACED => inside("message_replaced.index", index(event)?, self.messages),
            kind::TOOL_CALL_SET => set("tool_call_set.index", index(event)?, &mut self.tool_calls),
            kind::SUB_AGENT_SET => set("sub_agent_set.index", index(event)?, &mut self.sub_agents),
            kind::LIST_TRUNCATED => self.truncate(&aimed(event)?),
            kind::TEXT_APPENDED => self.append_text(&aimed(event)?),
            kind::MESSAGE_TOOL_CALL_SET => {
                inside("message_tool_call_set.index", index(event)?, self.messages)
            }
            _ => Ok(()),
        }
    }

    fn change_phase(&mut self, event: &NewEvent) -> Result<(), Refused> {
        let Some(new) = event.head_change.as_ref().and_then(|change| change.phase) else {
            return Err(refused("phase_changed.phase", "must be specified".to_owned()));
        };
        if new < self.phase {
            let (new, old) = (phase::name(new), phase::name(self.phase));
            return Err(refused("phase_changed.phase", format!("cannot go back from {old} to {new}")));
        }
        self.phase = new;
        Ok(())
    }

    fn add_message(&mut self, index: u32) -> Result<(), Refused> {
        if index != self.messages {
            let description = format!("is {index}, the next message is {}", self.messages);
            return Err(refused("message_added.index", description));
        }
        set("message_added.index", index, &mut self.messages)
    }

    fn truncate(&mut self, cut: &Aimed) -> Result<(), Refused> {
        let list = match List::try_from(cut.target) {
            Ok(List::Messages) => &mut self.messages,
            Ok(List::ToolCalls) => &mut self.tool_calls,
            Ok(List::SubAgents) => &mut self.sub_agents,
            _ => return Err(refused("list_truncated.list", "must be specified".to_owned())),
        };
        if cut.number > *list {
            let description = format!("is {}, the list has {list}", cut.number);
            return Err(refused("list_truncated.length", description));
        }
        *list = cut.number;
        Ok(())
    }

    fn append_text(&self, text: &Aimed) -> Result<(), Refused> {
        let list = match Target::try_from(text.target) {
            Ok(Target::ToolCallResult) => self.tool_calls,
            Ok(Target::SubAgentOutput) => self.sub_agents,
            Ok(Target::MessageToolCallResult) => self.messages,
            _ => return Err(refused("text_appended.target", "must be specified".to_owned())),
        };
        inside("text_appended.index", text.number, list)
    }
}

/// An index of what must exist.
fn inside(field: &'static str, index: u32, length: u32) -> Result<(), Refused> {
    match index < length {
        true => Ok(()),
        false => Err(refused(field, format!("is {index}, the list has {length}"))),
    }
}

/// An index of what exists, or of the next one, which it adds.
fn set(field: &'static str, index: u32, length: &mut u32) -> Result<(), Refused> {
    if index < *length {
        return Ok(());
    }
    match length.checked_add(1).filter(|_| index == *length) {
        Some(longer) => {
            *length = longer;
            Ok(())
        }
        None => Err(refused(field, format!("is {index}, the list has {length}"))),
    }
}

fn index(event: &NewEvent) -> Result<u32, Refused> {
    Ok(body::<Indexed>(event)?.index)
}

fn aimed(event: &NewEvent) -> Result<Aimed, Refused> {
    body(event)
}

/// Some fields of an event's body.
fn body<M: Message + Default>(event: &NewEvent) -> Result<M, Refused> {
    let parse = |payload: &mut Bytes| {
        decode_key(payload).ok()?;
        let length = usize::try_from(decode_varint(payload).ok()?).ok()?;
        (length == payload.len()).then(|| M::decode(payload).ok())?
    };
    parse(&mut event.payload.clone()).ok_or_else(|| refused("body", "is not the body of its kind".to_owned()))
}

fn refused(field: &'static str, description: String) -> Refused {
    Refused { field, description }
}

fn reject(field: &str, description: &str) -> Reject {
    Reject { field: field.to_owned(), description: description.to_owned() }
}

#[cfg(test)]
mod tests;
