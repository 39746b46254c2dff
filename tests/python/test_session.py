"""Stigmer's runner and followers, and a native watcher beside them, as Python's grpcio sees the daemon."""

import asyncio
import collections
import os
import unittest

import grpc
from ai.stigmer.agentic.agentexecution.v1 import api_pb2, command_pb2, command_pb2_grpc, enum_pb2, io_pb2, query_pb2_grpc
from google.rpc import error_details_pb2, status_pb2
from tapeline.v1 import execution_pb2, log_service_pb2, log_service_pb2_grpc

from fold import fold
from runner import Runner, connect, now, session

MIB = 1 << 20
PATIENCE_SECONDS = 40


def differences(expected, actual, path="status"):
    """The fields in which two messages differ, by their paths."""
    found = []
    for field in expected.DESCRIPTOR.fields:
        name, here = field.name, f"{path}.{field.name}"
        left, right = getattr(expected, name), getattr(actual, name)
        if name == "todos":
            if sorted(left) != sorted(right):
                found.append(f"{here}: {sorted(left)} is {sorted(right)}")
            for key in sorted(set(left) & set(right)):
                found += differences(left[key], right[key], f"{here}[{key}]")
        elif field.message_type and hasattr(left, "add"):
            if len(left) != len(right):
                found.append(f"{here}: {len(left)} entries are {len(right)}")
            for at, (one, other) in enumerate(zip(left, right)):
                found += differences(one, other, f"{here}[{at}]")
        elif left != right:
            found.append(f"{here}: {str(left)[:80]!r} is {str(right)[:80]!r}")
    return found


class SessionTest(unittest.IsolatedAsyncioTestCase):
    async def asyncSetUp(self):
        self.channel = connect(os.environ["TAPELINE_ADDRESS"])
        self.commands = command_pb2_grpc.AgentExecutionCommandControllerStub(self.channel)
        self.queries = query_pb2_grpc.AgentExecutionQueryControllerStub(self.channel)
        self.log = log_service_pb2_grpc.ExecutionLogServiceStub(self.channel)

    async def asyncTearDown(self):
        await self.channel.close()

    # What all tests need.

    async def create(self):
        """Creates an execution as the command line does."""
        execution = api_pb2.AgentExecution(api_version="agentic.stigmer.ai/v1", kind="AgentExecution")
        execution.metadata.name = "Test Execution"
        execution.metadata.org = "local"
        execution.spec.agent_id = "agt-01kewqjbtdy0w4d14bnhhy4yc2"
        execution.spec.message = "execute"
        execution.spec.runtime_env["REGION"].value = "eu"
        return await self.commands.create(execution)

    async def get(self, identity):
        return await self.queries.get(io_pb2.AgentExecutionId(value=identity))

    async def native(self, identity):
        return await self.log.GetExecution(execution_pb2.GetExecutionRequest(execution_id=identity))

    async def follow(self, identity, states):
        """Follows to the end; the stream must end by itself and with OK."""
        call = self.queries.subscribe(io_pb2.AgentExecutionId(value=identity))
        async for state in call:
            states.append(state)
        self.assertEqual(await call.code(), grpc.StatusCode.OK)

    async def follower(self, identity):
        """Follows in the background; returns once the first state is there."""
        states = []
        task = asyncio.create_task(self.follow(identity, states))
        async with Deadline(f"no first state of {identity}"):
            while not states:
                if task.done():
                    task.result()
                await asyncio.sleep(0.005)
        return task, states

    async def watch(self, identity):
        """All events of an execution that has ended, and the frame that says so."""
        events, end = [], None
        async with Deadline(f"the watch of {identity} does not end"):
            async for response in self.log.Watch(log_service_pb2.WatchRequest(execution_id=identity)):
                kind = response.WhichOneof("frame")
                if kind == "events":
                    events += response.events.events
                elif kind == "end":
                    end = response.end
        self.assertIsNotNone(end, "the stream closed without an end")
        return events, end

    def assert_shows(self, state, status, who):
        """What a runner sent is what somebody sees, field by field; audit and token are not the runner's."""
        expected, actual = api_pb2.AgentExecutionStatus(), api_pb2.AgentExecutionStatus()
        expected.CopyFrom(status)
        actual.CopyFrom(state)
        for one in (expected, actual):
            one.ClearField("audit")
            one.ClearField("callback_token")
        self.assertEqual(differences(expected, actual), [], f"what {who} sees is not what the runner sent")
        self.assertTrue(expected == actual, f"{who} sees a field set that was not, or the other way round")

    async def refusal(self, call):
        """The error of a call and its ErrorInfo."""
        with self.assertRaises(grpc.aio.AioRpcError) as raised:
            await call
        error = raised.exception
        packed = [value for key, value in error.trailing_metadata() if key == "grpc-status-details-bin"]
        self.assertEqual(len(packed), 1, f"no details: {error}")
        info = error_details_pb2.ErrorInfo()
        details = status_pb2.Status.FromString(packed[0]).details
        self.assertTrue(any(detail.Unpack(info) for detail in details), f"no ErrorInfo in {details}")
        self.assertEqual(info.domain, "tapeline")
        return error.code(), info

    # The tests.

    async def test_a_created_execution_has_all_that_clients_read(self):
        execution = await self.create()
        self.assertRegex(execution.metadata.id, "^aex-[0-9a-z]{26}$")
        self.assertEqual(execution.metadata.slug, "test-execution")
        self.assertEqual(execution.metadata.org, "local")
        self.assertEqual((execution.api_version, execution.kind), ("agentic.stigmer.ai/v1", "AgentExecution"))
        self.assertEqual(execution.spec.message, "execute")
        self.assertEqual(execution.spec.runtime_env["REGION"].value, "eu")
        self.assertTrue(execution.HasField("status"), "the command line reads it without asking")
        self.assertEqual(execution.status.phase, enum_pb2.EXECUTION_PENDING)
        self.assertTrue(execution.status.audit.spec_audit.HasField("created_at"))

    async def test_followers_see_what_the_runner_sent_whenever_they_come(self):
        execution = await self.create()
        identity = execution.metadata.id
        early_task, early = await self.follower(identity)
        self.assertEqual(early[0].status.phase, enum_pb2.EXECUTION_PENDING)
        self.assertEqual(len(early[0].status.messages), 0)

        runner = Runner(self.channel, execution)
        async for part in session(runner):
            if part == 2:
                await runner.send()
                late_task, late = await self.follower(identity)
                self.assert_shows(late[0].status, runner.status, "a late follower at first")
        await runner.complete()
        self.assertGreater(runner.updates, 20, "the session is too short to show anything")
        async with Deadline("a follower does not end"):
            await asyncio.gather(early_task, late_task)
            after = []
            await self.follow(identity, after)

        self.assertEqual(len(after), 1, "a follower after the end gets one state")
        final = await self.get(identity)
        last_states = {"an early follower": early[-1], "a late one": late[-1], "one after the end": after[0]}
        for who, state in {**last_states, "get": final}.items():
            self.assert_shows(state.status, runner.status, who)
            self.assertEqual(state, final, f"{who} and get do not show the same")
        self.assert_only_grows(early)
        self.assert_only_grows(late)
        self.assertGreater(len(early), 2, "an early follower sees more than the beginning and the end")
        await self.assert_is_a_log(identity, runner)

    def assert_only_grows(self, states):
        """No state is older than the one before it."""
        for before, after in zip(states, states[1:]):
            self.assertLessEqual(before.status.phase, after.status.phase)
            self.assertLessEqual(len(before.status.messages), len(after.status.messages))
            for one, other in zip(before.status.messages, after.status.messages):
                self.assertTrue(other.content.startswith(one.content), f"{one.content!r}, then {other.content!r}")
        for state in states[:-1]:
            self.assertLess(state.status.phase, enum_pb2.EXECUTION_COMPLETED, "a state after the last one")

    async def assert_is_a_log(self, identity, runner):
        """A native watcher of the same execution gets typed events that add up to the same state."""
        events, end = await self.watch(identity)
        self.assertEqual([event.seq for event in events], list(range(1, len(events) + 1)))
        self.assertEqual((end.reason, end.seq), (log_service_pb2.End.REASON_TERMINAL, events[-1].seq))
        self.assertEqual(end.phase, execution_pb2.PHASE_COMPLETED)
        kinds = collections.Counter(event.WhichOneof("body") for event in events)
        self.assertEqual(events[0].WhichOneof("body"), "created")
        self.assertEqual(events[-1].WhichOneof("body"), "phase_changed")
        for kind in ("message_added", "message_text_appended", "tool_call_set", "message_tool_call_set"):
            self.assertIn(kind, kinds)
        for kind in ("sub_agent_set", "text_appended", "todo_set"):
            self.assertIn(kind, kinds)
        self.assertNotIn("list_truncated", kinds)
        self.assert_shows(fold(events), runner.status, "who folds the log")
        execution = await self.native(identity)
        self.assertEqual((execution.tail_seq, execution.phase), (events[-1].seq, execution_pb2.PHASE_COMPLETED))
        self.assertEqual(execution.agent_id, "agt-01kewqjbtdy0w4d14bnhhy4yc2")

    async def test_a_thousand_cumulative_updates_store_what_changed(self):
        execution = await self.create()
        runner = Runner(self.channel, execution)
        sent_bytes = 0
        for number in range(1_000):
            text = f"Message {number}: " + " ".join(str(number * factor) for factor in range(40))
            runner.status.messages.add(type=enum_pb2.MESSAGE_AI, content=text, timestamp=now())
            await runner.send()
            sent_bytes += runner.status.ByteSize()
        state_bytes = runner.status.ByteSize()
        stored_bytes = (await self.native(execution.metadata.id)).stored_bytes
        print(f"sent {sent_bytes}, state {state_bytes}, stored {stored_bytes} bytes", flush=True)
        self.assertGreater(sent_bytes, 400 * state_bytes)
        self.assertGreater(stored_bytes, 0)
        self.assertLess(stored_bytes, 1.5 * state_bytes)
        self.assert_shows((await self.get(execution.metadata.id)).status, runner.status, "get")

    async def test_an_update_that_changes_nothing_stores_nothing(self):
        execution = await self.create()
        runner = Runner(self.channel, execution)
        await runner.message(enum_pb2.MESSAGE_AI, "one")
        await runner.tool("call", "execute", {"command": "ls"}, ["a"])
        await runner.send()
        before = await self.native(execution.metadata.id)
        await runner.send()
        empty = api_pb2.AgentExecutionStatus()
        await self.commands.updateStatus(self.update(execution, empty))
        after = await self.native(execution.metadata.id)
        self.assertEqual((after.tail_seq, after.stored_bytes), (before.tail_seq, before.stored_bytes))
        self.assert_shows((await self.get(execution.metadata.id)).status, runner.status, "get")

    async def test_after_the_end_only_what_changes_nothing_is_taken(self):
        execution = await self.create()
        runner = Runner(self.channel, execution)
        await runner.message(enum_pb2.MESSAGE_AI, "one")
        await runner.complete()
        tail_seq = (await self.native(execution.metadata.id)).tail_seq
        await runner.send()
        late = api_pb2.AgentExecutionStatus()
        late.CopyFrom(runner.status)
        late.messages[0].content += ", and more"
        code, info = await self.refusal(self.commands.updateStatus(self.update(execution, late)))
        self.assertEqual((code, info.reason), (grpc.StatusCode.FAILED_PRECONDITION, "EXECUTION_ENDED"))
        self.assertEqual(info.metadata["final_seq"], str(tail_seq))
        reopened = api_pb2.AgentExecutionStatus(phase=enum_pb2.EXECUTION_IN_PROGRESS)
        code, info = await self.refusal(self.commands.updateStatus(self.update(execution, reopened)))
        self.assertEqual((code, info.reason), (grpc.StatusCode.FAILED_PRECONDITION, "EXECUTION_ENDED"))
        self.assertEqual((await self.native(execution.metadata.id)).tail_seq, tail_seq)
        self.assert_shows((await self.get(execution.metadata.id)).status, runner.status, "get")

    async def test_an_execution_that_is_not_there_is_not_found(self):
        unknown = io_pb2.AgentExecutionId(value="aex-01arz3ndektsv4rrffq69g5fav")
        status = api_pb2.AgentExecutionStatus(phase=enum_pb2.EXECUTION_IN_PROGRESS)
        update = command_pb2.AgentExecutionUpdateStatusInput(execution_id=unknown.value, status=status)
        for call in (self.commands.updateStatus(update), self.queries.get(unknown), self.queries.subscribe(unknown).read()):
            code, info = await self.refusal(call)
            self.assertEqual((code, info.reason), (grpc.StatusCode.NOT_FOUND, "EXECUTION_NOT_FOUND"))
            self.assertEqual(info.metadata["execution_id"], unknown.value)

    async def test_a_request_that_says_too_little_names_the_field(self):
        execution = await self.create()
        status = api_pb2.AgentExecutionStatus(phase=enum_pb2.EXECUTION_IN_PROGRESS)
        requests = (
            self.commands.updateStatus(command_pb2.AgentExecutionUpdateStatusInput(status=status)),
            self.commands.updateStatus(
                command_pb2.AgentExecutionUpdateStatusInput(execution_id=execution.metadata.id)
            ),
            self.commands.create(api_pb2.AgentExecution()),
        )
        for call in requests:
            code, info = await self.refusal(call)
            self.assertEqual((code, info.reason), (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"))

    async def test_a_state_of_six_mib_is_read_with_the_default_limit(self):
        execution = await self.create()
        runner = Runner(self.channel, execution)
        for number in range(6):
            content = chr(ord("a") + number) * MIB
            runner.status.messages.add(type=enum_pb2.MESSAGE_AI, content=content, timestamp=now())
        call = self.commands.updateStatus(self.update(execution, runner.status))
        await self.assert_is_cut(await call, call, runner)
        call = self.queries.get(io_pb2.AgentExecutionId(value=execution.metadata.id))
        await self.assert_is_cut(await call, call, runner)
        task, states = await self.follower(execution.metadata.id)
        await self.assert_is_cut(states[0], None, runner)

        runner.status.phase = enum_pb2.EXECUTION_COMPLETED
        await self.commands.updateStatus(self.update(execution, runner.status))
        async with Deadline("the follower does not end"):
            await task
        self.assertEqual(states[-1].status.phase, enum_pb2.EXECUTION_COMPLETED)
        events, _ = await self.watch(execution.metadata.id)
        self.assert_shows(fold(events), runner.status, "who folds the log")

    async def test_a_tool_result_of_any_size_keeps_no_run_from_its_end(self):
        execution = await self.create()
        runner = Runner(self.channel, execution)
        task, states = await self.follower(execution.metadata.id)
        # Ten events: the state is sent while the result grows, and at the end. It is kept in two places.
        await runner.tool("call", "execute", {"command": "c" * (700 << 10)}, ["r" * (400 << 10)] * 7)
        await runner.complete()
        async with Deadline("the follower does not end"):
            await task
        events, _ = await self.watch(execution.metadata.id)
        self.assert_shows(fold(events), runner.status, "who folds the log")
        self.assertEqual(states[-1].status.phase, enum_pb2.EXECUTION_COMPLETED)

    async def assert_is_cut(self, reply, call, runner):
        """It fits, it says that it was cut, and only its oldest messages were."""
        self.assertLessEqual(reply.ByteSize(), 3.5 * MIB)
        self.assertEqual(reply.metadata.annotations["tapeline-truncated"], "true")
        if call is not None:
            self.assertIn(("tapeline-truncated", "true"), list(await call.initial_metadata()))
        contents = [message.content for message in reply.status.messages]
        kept = [message.content for message in runner.status.messages][-3:]
        self.assertEqual([len(content) for content in contents], [0, 0, 0, MIB, MIB, MIB])
        self.assertTrue(contents[-3:] == kept, "the newest messages are whole")

    def update(self, execution, status):
        return command_pb2.AgentExecutionUpdateStatusInput(execution_id=execution.metadata.id, status=status)


class Deadline:
    """Fails with a message what takes too long. `asyncio.timeout` came with Python 3.11."""

    def __init__(self, message):
        self.message = message

    async def __aenter__(self):
        task = asyncio.current_task()
        self.passed = False

        def give_up():
            self.passed = True
            task.cancel()

        self.timer = asyncio.get_running_loop().call_later(PATIENCE_SECONDS, give_up)

    async def __aexit__(self, *_):
        self.timer.cancel()
        if self.passed:
            raise AssertionError(f"{self.message} within {PATIENCE_SECONDS} s")


if __name__ == "__main__":
    unittest.main()
