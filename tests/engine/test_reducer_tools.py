"""Tool calls: every state a call can be in, and how it gets there."""

from __future__ import annotations

import pytest

from usechat.engine.events import PartAdded, PartUpdated, ToolCalled, ToolInputDelta
from usechat.model.parts import DynamicToolPart, ToolPart

from .harness import (
    END_STEP,
    RESET,
    STEP,
    Chat,
    assistant,
    call,
    parts_of,
    replying,
    text,
    tool,
    user,
)

META = {"provider": {"a": 1}}
OTHER = {"provider": {"b": 2}}
INPUT = {"city": "Rome"}


def delta(piece: str, id: str = "c1") -> dict:
    return tool("input-delta", id, inputTextDelta=piece)


def part_of(*chunks: dict, strict: bool = True) -> dict:
    """The only part that chunks make."""
    (part,) = parts_of(*chunks, strict=strict)
    return part


def dynamic(state: str, **fields: object) -> dict:
    return {
        "type": "dynamic-tool",
        "toolName": "weather",
        "toolCallId": "c1",
        "state": state,
        **fields,
    }


BEGUN = tool("input-start")
READY = tool("input-available")
ASKED = tool("approval-request", approvalId="ap1")
YES = {"type": "tool-approval-response", "approvalId": "ap1", "approved": True}
RAW = {"rawInput": '{"city":"Ro', "input": {"city": "Ro"}}

STATES = [
    ([BEGUN], call("input-streaming")),
    ([BEGUN, delta('{"city":'), delta('"Ro')], call("input-streaming", **RAW)),
    ([BEGUN, delta("{"), READY], call("input-available", input=INPUT)),
    ([READY], call("input-available", input=INPUT)),
    (
        [tool("input-error", errorText="bad")],
        call("output-error", input=INPUT, errorText="bad"),
    ),
    ([READY, ASKED], call("approval-requested", input=INPUT, approval={"id": "ap1"})),
    (
        [READY, ASKED, YES],
        call("approval-responded", input=INPUT, approval={"id": "ap1", "approved": True}),
    ),
    ([READY, tool("output-available", output=1)], call("output-available", input=INPUT, output=1)),
    (
        [READY, tool("output-available", output=1, preliminary=True)],
        call("output-available", input=INPUT, output=1, preliminary=True),
    ),
    (
        [READY, tool("output-error", errorText="e")],
        call("output-error", input=INPUT, errorText="e"),
    ),
    ([READY, tool("output-denied")], call("output-denied", input=INPUT)),
]


@pytest.mark.parametrize(("chunks", "part"), STATES)
def test_each_state_of_a_static_call(chunks: list, part: dict) -> None:
    assert part_of(*chunks) == part
    assert isinstance(replying(*chunks).messages[-1].parts[0], ToolPart)


@pytest.mark.parametrize(("chunks", "part"), STATES)
def test_each_state_of_a_dynamic_call(chunks: list, part: dict) -> None:
    made = ("tool-input-start", "tool-input-available", "tool-input-error")
    chunks = [{**c, "dynamic": True} if c["type"] in made else c for c in chunks]
    want = {**part, "type": "dynamic-tool", "toolName": "weather"}
    assert part_of(*chunks) == want
    assert isinstance(replying(*chunks).messages[-1].parts[0], DynamicToolPart)


def test_a_preliminary_output_is_replaced_by_the_final_one() -> None:
    part = part_of(
        READY,
        tool("output-available", output=1, preliminary=True),
        tool("output-available", output=2),
    )
    assert part == call("output-available", input=INPUT, output=2)


def test_an_error_replaces_an_output() -> None:
    part = part_of(READY, tool("output-available", output=1), tool("output-error", errorText="e"))
    assert part == call("output-error", input=INPUT, errorText="e")


def test_a_static_and_a_dynamic_call_with_one_id_are_two_parts() -> None:
    chunks = [READY, tool("input-available", dynamic=True), tool("output-available", output=1)]
    static, other = parts_of(*chunks)
    assert static == call("output-available", input=INPUT, output=1)
    assert other == dynamic("input-available", input=INPUT)


def test_the_input_as_it_comes_is_told() -> None:
    chat = replying(BEGUN, delta('{"a'), delta('":1}'))
    assert chat.events(PartAdded, PartUpdated, ToolInputDelta) == [
        PartAdded("id-1", 0),
        PartUpdated("id-1", 0),  # from here on it has an input
        ToolInputDelta("id-1", 0, '{"a":1}', 0),
    ]


def test_text_input_is_text_and_says_so() -> None:
    chunks = [tool("input-start", inputEncoding="text"), delta('{"a'), delta('":1')]
    part = part_of(*chunks)
    assert part == call("input-streaming", inputEncoding="text", rawInput='{"a":1', input='{"a":1')
    assert "inputEncoding" not in part_of(*chunks, READY)


def test_title_and_metadata_of_the_tool_stay() -> None:
    begun = tool("input-start", title="T", toolMetadata={"m": 1})
    for more in ([], [delta("{")], [READY], [READY, tool("output-available", output=1)]):
        part = part_of(begun, *more)
        assert (part["title"], part["toolMetadata"]) == ("T", {"m": 1})
    part = part_of(begun, tool("input-available", title="U", toolMetadata={}))
    assert (part["title"], part["toolMetadata"]) == ("U", {})


def test_provider_executed_stays_until_a_chunk_says_otherwise() -> None:
    begun = tool("input-start", providerExecuted=True)
    assert part_of(begun, READY)["providerExecuted"] is True
    assert part_of(begun, READY, tool("output-available", output=1))["providerExecuted"] is True
    no = tool("output-available", output=1, providerExecuted=False)
    assert part_of(begun, READY, no)["providerExecuted"] is False
    answered = {**YES, "providerExecuted": False}
    assert part_of(begun, READY, ASKED, answered)["providerExecuted"] is False


def test_provider_metadata_of_call_and_result_are_two_things() -> None:
    part = part_of(
        tool("input-available", providerMetadata=META),
        tool("output-available", output=1, providerMetadata=OTHER),
    )
    assert part["callProviderMetadata"] == META
    assert part["resultProviderMetadata"] == OTHER
    failed = part_of(tool("input-error", errorText="e", providerMetadata=META))
    assert failed["resultProviderMetadata"] == META
    answered = part_of(READY, ASKED, {**YES, "providerMetadata": META})
    assert answered["callProviderMetadata"] == META


def test_the_name_of_a_call_may_change_with_its_input() -> None:
    assert part_of(BEGUN, tool("input-available", toolName="sky"))["type"] == "tool-sky"
    both = [
        tool("input-start", dynamic=True),
        tool("input-available", toolName="sky", dynamic=True),
    ]
    assert part_of(*both)["toolName"] == "sky"


def test_an_input_error_keeps_the_kind_of_the_call_that_is_there_and_no_title() -> None:
    begun = tool("input-start", dynamic=True, title="T")
    error = tool("input-error", errorText="e", title="U")
    assert part_of(begun, error) == dynamic("output-error", input=INPUT, errorText="e", title="T")
    assert "title" not in part_of(error)
    both = parts_of(tool("input-available", dynamic=True), READY, error)
    assert [part["state"] for part in both] == ["output-error", "input-available"]


def test_all_that_an_approval_says_is_kept() -> None:
    asked = {
        **ASKED,
        "approvalDescriptor": {"d": 1},
        "inputSchemaInput": None,
        "reason": "why",
        "isAutomatic": True,
        "signature": "s",
    }
    part = part_of(READY, asked, {**YES, "reason": "fine"})
    assert part["approval"] == {
        "id": "ap1",
        "descriptor": {"d": 1},
        "inputSchemaInput": None,
        "requestReason": "why",
        "isAutomatic": True,
        "signature": "s",
        "approved": True,
        "reason": "fine",
    }


def test_what_an_approval_does_not_say_is_absent() -> None:
    asked = {**ASKED, "approvalDescriptor": None, "isAutomatic": False}
    assert part_of(READY, asked)["approval"] == {"id": "ap1"}


def test_an_approval_is_found_in_any_step() -> None:
    parts = parts_of(STEP, READY, ASKED, END_STEP, STEP, tool("input-available", "c2"), YES)
    assert parts[1]["state"] == "approval-responded"
    assert parts[3]["state"] == "input-available"


def test_input_that_streams_stops_where_an_approval_is_asked_for() -> None:
    part = part_of(BEGUN, delta('{"city":"Ro'), ASKED)
    assert part == call("approval-requested", approval={"id": "ap1"}, **RAW)


@pytest.mark.parametrize("end", [ASKED, tool("output-denied")], ids=["asked", "denied"])
def test_input_that_goes_on_after_that_shows_again(end: dict) -> None:
    part = part_of(BEGUN, delta('{"city":'), end, delta('"Ro'))
    assert {k: v for k, v in part.items() if k != "approval"} == call("input-streaming", **RAW)


def test_a_delta_after_a_result_puts_the_call_back_to_streaming() -> None:
    chunks = [BEGUN, delta('{"city":'), tool("output-available", output=1), delta('"Ro')]
    assert part_of(*chunks) == call("input-streaming", **RAW)
    assert part_of(*chunks, READY) == call("input-available", input=INPUT)


def test_a_denied_call_keeps_its_input() -> None:
    assert part_of(BEGUN, delta('{"city":"Ro'), tool("output-denied")) == call(
        "output-denied", **RAW
    )


def test_only_a_static_call_keeps_the_raw_input_of_one_that_failed() -> None:
    chunks = [delta('{"city":"Ro'), tool("output-error", errorText="e")]
    assert part_of(BEGUN, *chunks) == call("output-error", errorText="e", **RAW)
    want = dynamic("output-error", errorText="e", input={"city": "Ro"})
    assert part_of(tool("input-start", dynamic=True), *chunks) == want


def test_results_are_looked_for_in_the_current_step_first() -> None:
    parts = parts_of(STEP, READY, STEP, READY, tool("output-available", output=1))
    assert [part.get("output") for part in parts] == [None, None, None, 1]
    parts = parts_of(STEP, READY, STEP, text("x"), tool("output-available", output=1))
    assert parts[1]["output"] == 1


def test_input_looks_in_the_current_step_only() -> None:
    parts = parts_of(STEP, READY, STEP, BEGUN)
    assert [part.get("state") for part in parts] == [
        None,
        "input-available",
        None,
        "input-streaming",
    ]


@pytest.mark.parametrize("is_dynamic", [False, True], ids=["static", "dynamic"])
def test_a_delta_of_an_earlier_steps_call_shows_in_the_current_step(is_dynamic: bool) -> None:
    begun = tool(
        "input-start",
        dynamic=is_dynamic,
        inputEncoding="json",
        title="T",
        toolMetadata={"m": 1},
    )
    chunks = [STEP, begun, delta('{"city":'), STEP, delta('"Ro')]
    parts = parts_of(*chunks)
    own = {"inputEncoding": "json", "title": "T", "toolMetadata": {"m": 1}}
    make = dynamic if is_dynamic else call
    assert parts[1] == make("input-streaming", rawInput='{"city":', input={}, **own)
    # The SDK leaves rawInput out of a dynamic part that a delta has made, until the next one.
    raw = {"input": {"city": "Ro"}} if is_dynamic else RAW
    assert parts[3] == make("input-streaming", **raw, **own)
    more = parts_of(*chunks, delta('me"}'))[3]
    assert (more["rawInput"], more["input"]) == ('{"city":"Rome"}', INPUT)


def test_a_call_that_was_taken_back_gets_no_more_input() -> None:
    chat = replying(BEGUN, RESET, delta("{"), strict=True)
    assert "tool-input-delta" in str(chat.error)


def test_a_call_that_begins_again_begins_anew() -> None:
    part = part_of(BEGUN, delta('{"x'), BEGUN, delta('{"city":"Ro'))
    assert part == call("input-streaming", **RAW)


def test_input_goes_on_where_the_message_is_continued() -> None:
    begun = call("input-streaming", rawInput='{"city":', input={})
    chat = Chat(user(), assistant(begun))
    chat.send(None)
    chat.receive(delta('"Ro'))
    assert chat.reply_parts() == [call("input-streaming", **RAW)]
    assert chat.events(ToolInputDelta, PartAdded) == [ToolInputDelta("a1", 0, '"Ro', 8)]


def test_null_in_a_field_that_may_be_any_value_is_null() -> None:
    part = part_of(tool("input-available", input=None), tool("output-available", output=None))
    assert part == call("output-available", input=None, output=None)


def test_a_call_without_input_has_none_when_it_ends() -> None:
    assert part_of(BEGUN, tool("output-available", output=1)) == call("output-available", output=1)


def test_a_call_that_runs_here_is_told_and_called_after_it_is_published() -> None:
    seen: list[str] = []
    chat = Chat(callbacks={"on_tool_call": lambda c: seen.append(chat.reply_parts()[0]["state"])})
    chat.send()
    chat.receive(tool("input-available", title="T", unknown=1))
    (made,) = chat.called("on_tool_call")
    assert (made.tool_name, made.tool_call_id, made.input, made.title) == (
        "weather",
        "c1",
        INPUT,
        "T",
    )
    assert seen == ["input-available"]
    assert [event.call for event in chat.events(ToolCalled)] == [made]


def test_a_call_that_the_provider_runs_is_not() -> None:
    chat = Chat(callbacks={"on_tool_call": lambda c: None})
    chat.send()
    chat.receive(tool("input-available", providerExecuted=True))
    assert (chat.called("on_tool_call"), chat.events(ToolCalled)) == ([], [])
    assert chat.reply_parts()[0]["state"] == "input-available"
