"""What a reader of the native API makes of a log: the state that its events add up to. Written from the
comments of the .proto files alone."""

from ai.stigmer.agentic.agentexecution.v1 import api_pb2
from tapeline.v1 import event_pb2


def _put(entries, index, entry):
    """Sets an entry of a list; one more than there are is a new one."""
    assert index <= len(entries), f"the entry {index} of {len(entries)}"
    if index == len(entries):
        entries.add()
    entries[index].CopyFrom(entry)


def fold(events):
    status = api_pb2.AgentExecutionStatus()
    lists = {
        event_pb2.ListTruncated.LIST_MESSAGES: status.messages,
        event_pb2.ListTruncated.LIST_TOOL_CALLS: status.tool_calls,
        event_pb2.ListTruncated.LIST_SUB_AGENTS: status.sub_agent_executions,
    }
    for event in events:
        kind = event.WhichOneof("body")
        body = getattr(event, kind)
        if kind == "phase_changed":
            # Both enums have the same numbers.
            status.phase = body.phase
            for name in ("error", "started_at", "completed_at"):
                setattr(status, name, getattr(body, name) or getattr(status, name))
        elif kind == "message_added":
            assert body.index == len(status.messages), f"the message {body.index} of {len(status.messages)}"
            status.messages.add().CopyFrom(body.message)
        elif kind == "message_text_appended":
            status.messages[body.index].content += body.text
        elif kind == "message_replaced":
            status.messages[body.index].CopyFrom(body.message)
        elif kind == "message_tool_call_set":
            _put(status.messages[body.index].tool_calls, body.tool_call_index, body.tool_call)
        elif kind == "tool_call_set":
            _put(status.tool_calls, body.index, body.tool_call)
        elif kind == "sub_agent_set":
            _put(status.sub_agent_executions, body.index, body.sub_agent)
        elif kind == "text_appended":
            if body.target == event_pb2.TextAppended.TARGET_TOOL_CALL_RESULT:
                status.tool_calls[body.index].result += body.text
            elif body.target == event_pb2.TextAppended.TARGET_MESSAGE_TOOL_CALL_RESULT:
                status.messages[body.index].tool_calls[body.tool_call_index].result += body.text
            else:
                assert body.target == event_pb2.TextAppended.TARGET_SUB_AGENT_OUTPUT
                status.sub_agent_executions[body.index].output += body.text
        elif kind == "todo_set":
            status.todos[body.id].CopyFrom(body.item)
        elif kind == "todo_removed":
            del status.todos[body.id]
        elif kind == "list_truncated":
            del lists[body.list][body.length :]
    return status
