//! The contract, as data, against what was compiled. Clients of other languages have these names and
//! numbers in their own generated code, so a line here changes only when the contract does.
//!
//! A line is `name | what is in it`, in the order of the numbers. `A`, `X` and `R` stand for Stigmer's
//! packages agentexecution, executioncontext and apiresource; `in x` names the oneof of a field.

use std::collections::BTreeMap;

use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    MethodDescriptorProto,
};

use super::FILE_DESCRIPTOR_SET;

const NATIVE: &str = "
Phase | 0 PHASE_UNSPECIFIED; 1 PHASE_PENDING; 2 PHASE_IN_PROGRESS; 3 PHASE_COMPLETED; 4 PHASE_FAILED; 5 PHASE_CANCELLED
Execution | 1 id: string; 2 log_id: string; 3 phase: Phase; 4 floor_seq: uint64; 5 tail_seq: uint64; 6 create_time: google.Timestamp; 7 update_time: google.Timestamp; 8 end_time: google.Timestamp; 9 session_id: string; 10 agent_id: string; 11 display_name: string; 12 labels: map<string,string>; 13 error: string; 14 stored_bytes: uint64
Event | 1 seq: uint64; 2 record_time: google.Timestamp; 3 position: uint64; 4 execution_id: string; 10 created: ExecutionCreated in body; 11 phase_changed: PhaseChanged in body; 12 message_added: MessageAdded in body; 13 message_text_appended: MessageTextAppended in body; 14 message_replaced: MessageReplaced in body; 15 tool_call_set: ToolCallSet in body; 16 sub_agent_set: SubAgentSet in body; 17 todo_set: TodoSet in body; 18 todo_removed: TodoRemoved in body; 19 list_truncated: ListTruncated in body; 20 spec_replaced: SpecReplaced in body; 21 output: Output in body; 22 text_appended: TextAppended in body; 23 message_tool_call_set: MessageToolCallSet in body; 30 custom: CustomEvent in body
ExecutionCreated | 1 spec: A.AgentExecutionSpec; 2 labels: map<string,string>; 3 display_name: string
PhaseChanged | 1 phase: Phase; 2 error: string; 3 started_at: string; 4 completed_at: string; 5 exit: ExitStatus
ExitStatus | 1 code: int32 in status; 2 signal: int32 in status
MessageAdded | 1 index: uint32; 2 message: A.AgentMessage
MessageTextAppended | 1 index: uint32; 2 text: string
MessageReplaced | 1 index: uint32; 2 message: A.AgentMessage
ToolCallSet | 1 index: uint32; 2 tool_call: A.ToolCall
SubAgentSet | 1 index: uint32; 2 sub_agent: A.SubAgentExecution
TodoSet | 1 id: string; 2 item: A.TodoItem
TodoRemoved | 1 id: string
ListTruncated | 1 list: ListTruncated.List; 2 length: uint32
ListTruncated.List | 0 LIST_UNSPECIFIED; 1 LIST_MESSAGES; 2 LIST_TOOL_CALLS; 3 LIST_SUB_AGENTS
SpecReplaced | 1 execution: A.AgentExecution
Output | 1 stream: Output.Stream; 2 data: bytes; 3 truncated: bool
Output.Stream | 0 STREAM_UNSPECIFIED; 1 STREAM_STDOUT; 2 STREAM_STDERR
TextAppended | 1 target: TextAppended.Target; 2 index: uint32; 3 text: string; 4 tool_call_index: uint32
TextAppended.Target | 0 TARGET_UNSPECIFIED; 1 TARGET_TOOL_CALL_RESULT; 2 TARGET_SUB_AGENT_OUTPUT; 3 TARGET_MESSAGE_TOOL_CALL_RESULT
MessageToolCallSet | 1 index: uint32; 2 tool_call_index: uint32; 3 tool_call: A.ToolCall
CustomEvent | 1 type: string; 2 content_type: string; 3 data: bytes; 4 attributes: map<string,string>
Producer | 1 id: string; 2 epoch: uint64; 3 seq: uint64
CreateExecutionRequest | 1 execution_id: string; 2 session_id: string; 3 agent_id: string; 4 display_name: string; 5 labels: map<string,string>; 6 spec: A.AgentExecutionSpec; 7 lease: google.Duration; 8 lease_owner: string
AppendRequest | 1 execution_id: string; 2 events: repeated Event; 3 expected_last_seq: optional uint64; 4 producer: Producer
AppendResponse | 1 first_seq: uint64; 2 last_seq: uint64; 3 tail_seq: uint64; 4 record_time: google.Timestamp; 5 duplicate: bool; 6 last_position: uint64
ReadEventsRequest | 1 execution_id: string; 2 after_seq: uint64; 3 max_events: uint32; 4 store_id: string; 5 log_id: string
ReadEventsResponse | 1 events: repeated Event; 2 tail_seq: uint64; 3 floor_seq: uint64; 4 phase: Phase
GetExecutionRequest | 1 execution_id: string
ListExecutionsRequest | 1 page_size: int32; 2 page_token: string; 3 phase: Phase; 4 session_id: string; 5 labels: map<string,string>
ListExecutionsResponse | 1 executions: repeated Execution; 2 next_page_token: string
DeleteExecutionRequest | 1 execution_id: string
DeleteExecutionResponse |
WatchRequest | 1 execution_id: string; 2 after_seq: uint64 in start; 3 tail: uint32 in start; 4 live: bool in start; 5 since: google.Timestamp in start; 6 log_id: string; 7 stop_at_tail: bool; 8 wait_for_create: bool; 9 on_trimmed: WatchRequest.OnTrimmed; 10 heartbeat_interval: google.Duration; 11 event_types: repeated string; 12 store_id: string
WatchRequest.OnTrimmed | 0 ON_TRIMMED_UNSPECIFIED; 1 ON_TRIMMED_ERROR; 2 ON_TRIMMED_GAP
WatchAllRequest | 1 after_position: uint64; 2 live: bool; 3 store_id: string; 4 heartbeat_interval: google.Duration; 5 event_types: repeated string; 6 labels: map<string,string>
WatchResponse | 1 hello: Hello in frame; 2 events: EventBatch in frame; 3 caught_up: CaughtUp in frame; 4 fell_behind: FellBehind in frame; 5 heartbeat: Heartbeat in frame; 6 gap: Gap in frame; 7 end: End in frame
Hello | 1 store_id: string; 2 log_id: string; 3 floor_seq: uint64; 4 tail_seq: uint64; 5 phase: Phase
EventBatch | 1 events: repeated Event
CaughtUp | 1 seq: uint64
FellBehind | 1 seq: uint64; 2 tail_seq: uint64
Heartbeat | 1 seq: uint64; 2 tail_seq: uint64; 3 owner: Heartbeat.Owner; 4 idle_for: google.Duration
Heartbeat.Owner | 0 OWNER_UNSPECIFIED; 1 OWNER_ALIVE; 2 OWNER_GONE; 3 OWNER_UNKNOWN
Gap | 1 from_seq: uint64; 2 to_seq: uint64
End | 1 reason: End.Reason; 2 seq: uint64; 3 phase: Phase; 4 error: string
End.Reason | 0 REASON_UNSPECIFIED; 1 REASON_TERMINAL; 2 REASON_TAIL; 3 REASON_DELETED
ExecutionLogService | CreateExecution(CreateExecutionRequest) -> Execution; Append(AppendRequest) -> AppendResponse; AppendStream(stream AppendRequest) -> stream AppendResponse; ReadEvents(ReadEventsRequest) -> ReadEventsResponse; Watch(WatchRequest) -> stream WatchResponse; WatchAll(WatchAllRequest) -> stream WatchResponse; GetExecution(GetExecutionRequest) -> Execution; ListExecutions(ListExecutionsRequest) -> ListExecutionsResponse; DeleteExecution(DeleteExecutionRequest) -> DeleteExecutionResponse
ListWatchersRequest | 1 execution_id: string; 2 page_size: int32; 3 page_token: string
Watcher | 1 id: string; 2 peer: string; 3 execution_id: string; 4 cursor_seq: uint64; 5 lag_events: uint64; 6 state: Watcher.State; 7 since: google.Timestamp; 8 last_progress: google.Timestamp
Watcher.State | 0 STATE_UNSPECIFIED; 1 STATE_REPLAYING; 2 STATE_LIVE; 3 STATE_FELL_BEHIND
TrimExecutionRequest | 1 execution_id: string; 2 floor_seq: uint64
TrimExecutionResponse | 1 floor_seq: uint64
AdminService | GetStats(GetStatsRequest) -> GetStatsResponse; ListWatchers(ListWatchersRequest) -> ListWatchersResponse; TrimExecution(TrimExecutionRequest) -> TrimExecutionResponse
";

const STIGMER: &str = "
A.AgentExecution | 1 api_version: string; 2 kind: string; 3 metadata: R.ApiResourceMetadata; 4 spec: A.AgentExecutionSpec; 5 status: A.AgentExecutionStatus
A.AgentExecutionSpec | 1 session_id: string; 2 agent_id: string; 3 message: string; 4 execution_config: A.ExecutionConfig; 5 runtime_env: map<string,X.ExecutionValue>; 6 callback_token: bytes
A.ExecutionConfig | 1 model_name: string
X.ExecutionValue | 1 value: string; 2 is_secret: bool
A.AgentExecutionStatus | 1 messages: repeated A.AgentMessage; 2 phase: A.ExecutionPhase; 3 tool_calls: repeated A.ToolCall; 4 sub_agent_executions: repeated A.SubAgentExecution; 6 error: string; 7 started_at: string; 8 completed_at: string; 9 todos: map<string,A.TodoItem>; 10 callback_token: bytes; 99 audit: R.ApiResourceAudit
A.AgentMessage | 1 type: A.MessageType; 2 content: string; 3 timestamp: string; 4 tool_calls: repeated A.ToolCall; 5 metadata: google.Struct
A.ToolCall | 1 id: string; 2 name: string; 3 args: google.Struct; 4 result: string; 5 status: A.ToolCallStatus; 6 component_metadata: A.ComponentMetadata; 7 started_at: string; 8 completed_at: string; 9 error: string
A.ComponentMetadata | 1 component_type: string; 2 component_group: string; 3 layout_hint: string; 4 metadata: google.Struct
A.SubAgentExecution | 1 id: string; 2 name: string; 3 input: string; 4 output: string; 5 status: A.SubAgentStatus; 6 started_at: string; 7 completed_at: string; 8 error: string; 9 metadata: google.Struct
A.TodoItem | 1 id: string; 2 content: string; 3 status: A.TodoStatus; 4 created_at: string; 5 updated_at: string
A.AgentExecutionUpdateStatusInput | 1 execution_id: string; 2 status: A.AgentExecutionStatus
A.AgentExecutionId | 1 value: string
A.SessionId | 1 value: string
A.AgentExecutionList | 1 total_pages: int32; 2 entries: repeated A.AgentExecution
A.ListAgentExecutionsRequest | 1 page_size: int32; 2 page_token: string; 3 phase: A.ExecutionPhase; 4 tags: repeated string
A.ListAgentExecutionsBySessionRequest | 1 session_id: string; 2 page_size: int32; 3 page_token: string
R.ApiResourceMetadata | 1 name: string; 2 slug: string; 3 id: string; 4 org: string; 5 owner_scope: R.ApiResourceOwnerScope; 6 labels: map<string,string>; 7 annotations: map<string,string>; 8 tags: repeated string; 9 version: R.ApiResourceMetadataVersion
R.ApiResourceMetadataVersion | 1 id: string; 2 message: string; 3 previous_version_id: string
R.ApiResourceAudit | 1 spec_audit: R.ApiResourceAuditInfo; 2 status_audit: R.ApiResourceAuditInfo
R.ApiResourceAuditInfo | 1 created_by: R.ApiResourceAuditActor; 2 created_at: google.Timestamp; 3 updated_by: R.ApiResourceAuditActor; 4 updated_at: google.Timestamp; 5 event: string
R.ApiResourceAuditActor | 1 id: string; 2 avatar: string
R.ApiResourceId | 1 value: string
A.ExecutionPhase | 0 EXECUTION_PHASE_UNSPECIFIED; 1 EXECUTION_PENDING; 2 EXECUTION_IN_PROGRESS; 3 EXECUTION_COMPLETED; 4 EXECUTION_FAILED; 5 EXECUTION_CANCELLED
A.MessageType | 0 MESSAGE_TYPE_UNSPECIFIED; 1 MESSAGE_HUMAN; 2 MESSAGE_AI; 3 MESSAGE_TOOL; 4 MESSAGE_SYSTEM
A.ToolCallStatus | 0 TOOL_CALL_STATUS_UNSPECIFIED; 1 TOOL_CALL_PENDING; 2 TOOL_CALL_RUNNING; 3 TOOL_CALL_COMPLETED; 4 TOOL_CALL_FAILED
A.TodoStatus | 0 TODO_STATUS_UNSPECIFIED; 1 TODO_PENDING; 2 TODO_IN_PROGRESS; 3 TODO_COMPLETED; 4 TODO_CANCELLED
A.SubAgentStatus | 0 SUB_AGENT_STATUS_UNSPECIFIED; 1 SUB_AGENT_PENDING; 2 SUB_AGENT_IN_PROGRESS; 3 SUB_AGENT_COMPLETED; 4 SUB_AGENT_FAILED
R.ApiResourceOwnerScope | 0 api_resource_owner_scope_unspecified; 1 platform; 2 organization; 3 identity_account
A.AgentExecutionCommandController | create(A.AgentExecution) -> A.AgentExecution; update(A.AgentExecution) -> A.AgentExecution; updateStatus(A.AgentExecutionUpdateStatusInput) -> A.AgentExecution; delete(R.ApiResourceId) -> A.AgentExecution
A.AgentExecutionQueryController | get(A.AgentExecutionId) -> A.AgentExecution; list(A.ListAgentExecutionsRequest) -> A.AgentExecutionList; listBySession(A.ListAgentExecutionsBySessionRequest) -> A.AgentExecutionList; subscribe(A.AgentExecutionId) -> stream A.AgentExecution
";

#[test]
fn the_native_api_has_the_names_numbers_and_types_of_the_contract() {
    assert_compiled(NATIVE);
}

#[test]
fn the_stigmer_contract_has_the_names_numbers_and_types_of_the_original() {
    assert_compiled(STIGMER);
}

/// Holds for every line; what was compiled and stands in no line is not looked at.
fn assert_compiled(contract: &str) {
    let compiled = compiled();
    for line in contract.trim().lines() {
        let (name, content) = line.split_once('|').expect("a line of the table has a bar");
        let found = compiled.get(name.trim()).unwrap_or_else(|| panic!("{name} is not in proto/"));
        assert_eq!(found, content.trim(), "in {name}");
    }
}

/// Everything that was compiled, by name, in the notation of the tables.
fn compiled() -> BTreeMap<String, String> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build script encoded it");
    let mut all = BTreeMap::new();
    set.file.iter().for_each(|file| add_file(file, &mut all));
    all
}

fn add_file(file: &FileDescriptorProto, all: &mut BTreeMap<String, String>) {
    let scope = format!(".{}", file.package());
    file.message_type.iter().for_each(|message| add_message(&scope, message, all));
    file.enum_type.iter().for_each(|list| add_enum(&scope, list, all));
    for service in &file.service {
        let name = short(&format!("{scope}.{}", service.name()));
        all.insert(name, joined(service.method.iter().map(method_line)));
    }
}

fn add_message(scope: &str, message: &DescriptorProto, all: &mut BTreeMap<String, String>) {
    let scope = format!("{scope}.{}", message.name());
    all.insert(short(&scope), joined(message.field.iter().map(|field| field_line(message, field))));
    message.nested_type.iter().for_each(|nested| add_message(&scope, nested, all));
    message.enum_type.iter().for_each(|list| add_enum(&scope, list, all));
}

fn add_enum(scope: &str, list: &EnumDescriptorProto, all: &mut BTreeMap<String, String>) {
    let values = list.value.iter().map(|value| format!("{} {}", value.number(), value.name()));
    all.insert(short(&format!("{scope}.{}", list.name())), joined(values));
}

fn method_line(method: &MethodDescriptorProto) -> String {
    let stream = |yes| if yes { "stream " } else { "" };
    let (input, output) = (short(method.input_type()), short(method.output_type()));
    let (client, server) = (stream(method.client_streaming()), stream(method.server_streaming()));
    format!("{}({client}{input}) -> {server}{output}", method.name())
}

fn field_line(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry = message.nested_type.iter().find(|nested| {
        nested.options.as_ref().is_some_and(|options| options.map_entry())
            && field.type_name().ends_with(&format!(".{}.{}", message.name(), nested.name()))
    });
    let kind = match entry {
        Some(entry) => format!("map<{},{}>", kind_of(&entry.field[0]), kind_of(&entry.field[1])),
        None if field.label() == Label::Repeated => format!("repeated {}", kind_of(field)),
        None if field.proto3_optional() => format!("optional {}", kind_of(field)),
        None => kind_of(field),
    };
    let oneof = field.oneof_index.filter(|_| !field.proto3_optional());
    let group = oneof.map(|index| format!(" in {}", message.oneof_decl[index as usize].name()));
    format!("{} {}: {kind}{}", field.number(), field.name(), group.unwrap_or_default())
}

fn kind_of(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => short(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

fn short(name: &str) -> String {
    name.replace(".ai.stigmer.agentic.agentexecution.v1.", "A.")
        .replace(".ai.stigmer.agentic.executioncontext.v1.", "X.")
        .replace(".ai.stigmer.commons.apiresource.", "R.")
        .replace(".google.protobuf.", "google.")
        .replace(".tapeline.v1.", "")
}

fn joined(parts: impl Iterator<Item = String>) -> String {
    parts.collect::<Vec<_>>().join("; ")
}
