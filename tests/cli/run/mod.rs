//! `run`: transparent to the user, complete in the log, whatever happens to the daemon meanwhile.

mod passing;
mod pipes;
mod away;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

/// What was recorded of one stream, byte for byte.
fn recorded(events: &[Value], stream: &str) -> Vec<u8> {
    let outputs = events.iter().map(|event| &event["output"]).filter(|output| output["stream"] == stream);
    let bytes = outputs.map(|output| match (output["data"].as_str(), output["data_base64"].as_str()) {
        (Some(text), _) => text.as_bytes().to_vec(),
        (None, Some(encoded)) => STANDARD.decode(encoded).unwrap(),
        (None, None) => panic!("no data in {output}"),
    });
    bytes.collect::<Vec<_>>().concat()
}

/// The phases, in order, and the last event.
fn phases(events: &[Value]) -> Vec<&str> {
    events.iter().filter_map(|event| event["phase_changed"]["phase"].as_str()).collect()
}
