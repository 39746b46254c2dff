"""A runner as Stigmer's is: it keeps the whole status of an execution and sends all of it after every ten
events, with the bearer token that its interceptor adds, with no deadline, and without reading the reply."""

import datetime

import grpc
from ai.stigmer.agentic.agentexecution.v1 import api_pb2, command_pb2, command_pb2_grpc, enum_pb2

UPDATE_INTERVAL_EVENTS = 10


def now():
    """A time as the runner writes it: ISO 8601, of UTC, with no zone."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat()


class _CallDetails:
    """Call details that can be made with other metadata. Not a named tuple, as in the original."""

    def __init__(self, details, metadata):
        self.method = details.method
        self.timeout = details.timeout
        self.metadata = metadata
        self.credentials = details.credentials
        self.wait_for_ready = details.wait_for_ready


class Bearer(grpc.aio.UnaryUnaryClientInterceptor):
    """Adds the key to the metadata of each call."""

    def __init__(self, key):
        self.key = key

    async def intercept_unary_unary(self, continuation, client_call_details, request):
        metadata = (*(client_call_details.metadata or ()), ("authorization", f"Bearer {self.key}"))
        return await continuation(_CallDetails(client_call_details, metadata), request)


def connect(address):
    """A channel as the runner opens it: default options, one interceptor."""
    return grpc.aio.insecure_channel(address, interceptors=[Bearer("any")])


class Runner:
    """Builds the status of one execution, event by event."""

    def __init__(self, channel, execution):
        self.commands = command_pb2_grpc.AgentExecutionCommandControllerStub(channel)
        self.execution_id = execution.metadata.id
        # The runner goes on from the status it is handed, audit and all.
        self.status = api_pb2.AgentExecutionStatus()
        self.status.CopyFrom(execution.status)
        self.status.phase = enum_pb2.EXECUTION_IN_PROGRESS
        self.status.started_at = now()
        self.events = 0
        self.updates = 0

    async def happened(self):
        """One event was handled; after every tenth the status is sent."""
        self.events += 1
        if self.events % UPDATE_INTERVAL_EVENTS == 0:
            await self.send()

    async def send(self):
        update = command_pb2.AgentExecutionUpdateStatusInput(execution_id=self.execution_id, status=self.status)
        await self.commands.updateStatus(update)
        self.updates += 1

    async def message(self, kind, content):
        self.status.messages.add(type=kind, content=content, timestamp=now())
        await self.happened()

    async def token(self, text):
        """The newest AI message grows, wherever it stands."""
        newest = next(m for m in reversed(self.status.messages) if m.type == enum_pb2.MESSAGE_AI)
        newest.content += text
        await self.happened()

    async def tool(self, identity, name, arguments, pieces):
        """A tool call in both places it is kept, from PENDING through RUNNING to COMPLETED."""
        call = api_pb2.ToolCall(id=identity, name=name, status=enum_pb2.TOOL_CALL_PENDING, started_at=now())
        call.args.update(arguments)
        call.component_metadata.component_type = "terminal"
        call.component_metadata.component_group = "main-agent-tools"
        self.status.messages.add(type=enum_pb2.MESSAGE_TOOL, timestamp=now()).tool_calls.append(call)
        self.status.tool_calls.append(call)
        places = (self.status.messages[-1].tool_calls[0], self.status.tool_calls[-1])
        await self.happened()
        for place in places:
            place.status = enum_pb2.TOOL_CALL_RUNNING
        await self.happened()
        for piece in pieces:
            for place in places:
                place.result += piece
            await self.happened()
        completed_at = now()
        for place in places:
            place.status = enum_pb2.TOOL_CALL_COMPLETED
            place.completed_at = completed_at
        await self.happened()

    async def todo(self, identity, content, state):
        item = self.status.todos[identity]
        item.id, item.content, item.status = identity, content, state
        item.created_at = item.created_at or now()
        item.updated_at = now()
        await self.happened()

    async def sub_agent(self, identity, name, task, pieces):
        agent = self.status.sub_agent_executions.add(
            id=identity, name=name, input=task, status=enum_pb2.SUB_AGENT_IN_PROGRESS, started_at=now()
        )
        agent.metadata.update({"depth": 1, "parent": None, "tags": ["search", "web"]})
        await self.happened()
        for piece in pieces:
            agent.output += piece
            await self.happened()
        agent.status = enum_pb2.SUB_AGENT_COMPLETED
        agent.completed_at = now()
        await self.happened()

    async def complete(self):
        self.status.phase = enum_pb2.EXECUTION_COMPLETED
        self.status.completed_at = now()
        await self.send()


async def session(runner):
    """A talk with everything in it that a status can say. Yields after each part."""
    words = "Größe und Maß – ✓ 🦀 and plain words, one after the other, ".split(" ")
    await runner.message(enum_pb2.MESSAGE_HUMAN, "What is the largest file here?")
    await runner.message(enum_pb2.MESSAGE_SYSTEM, "You are a helpful agent.")
    for part in range(6):
        await runner.todo(f"todo-{part}", f"part {part}", enum_pb2.TODO_IN_PROGRESS)
        await runner.message(enum_pb2.MESSAGE_AI, f"Part {part}: ")
        for word in words:
            await runner.token(word + " ")
        # Twice the same call: two calls with equal content are two.
        for attempt in range(2):
            arguments = {"command": "ls -lS", "limit": 10, "flags": {"long": True, "ids": [1, 2.5]}}
            lines = [f"-rw-r--r-- 1 agent {size} file-{size}.bin\n" for size in range(4)]
            await runner.tool(f"call-{part}-{attempt}", "execute", arguments, lines)
        for word in words[:7]:
            await runner.token(word + " ")
        if part % 2 == 0:
            await runner.sub_agent(f"sub-{part}", "searcher", "find it", [f"line {n}\n" for n in range(15)])
        await runner.todo(f"todo-{part}", f"part {part}", enum_pb2.TODO_COMPLETED)
        yield part
