"""The model around another: what the inner one is asked, and what becomes of its message."""

from __future__ import annotations

import asyncio
import copy
import pickle

import pytest
from inner import Inner, inner
from langchain.agents import create_agent
from langchain.agents.structured_output import ProviderStrategy, ToolStrategy
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from ec_agent.errors import ConfigError
from ec_agent.prompted import HermesProtocol, JsonSchemaProtocol, PromptedToolModel


@tool
def price_of(name: str) -> str:
    """The price."""
    return f"{len(name)}.00"


class Price(BaseModel):
    """A price."""

    euros: float


STEP = '{"price_of": {"name": "mug"}}'
BLOCK = '<tool_call>\n{"name": "price_of", "arguments": {"name": "mug"}}\n</tool_call>'
PROTOCOLS = {"json_schema": (STEP, '{"answer": "3 euros"}'), "hermes": (BLOCK, "3 euros")}


def ask(model, prompt="price?", **kwargs):
    return model.bind_tools([price_of]).invoke(prompt, **kwargs)


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_create_agent_works_unchanged(protocol, mode):
    below = inner(*PROTOCOLS[protocol])
    agent = create_agent(PromptedToolModel(model=below, protocol=protocol), [price_of], system_prompt="A shop.")
    state = {"messages": [("user", "price of a mug?")]}
    messages = (agent.invoke(state) if mode == "sync" else asyncio.run(agent.ainvoke(state)))["messages"]
    assert [type(message) for message in messages] == [HumanMessage, AIMessage, ToolMessage, AIMessage]
    assert messages[1].tool_calls[0]["args"] == {"name": "mug"}
    assert (messages[2].content, messages[3].content) == ("3.00", "3 euros")
    assert len({message.id for message in messages}) == 4
    for turns, _, options in below.asked:
        assert turns[0].content.startswith("A shop.\n\n")
        assert not {"tools", "tool_choice"} & set(options)
        assert {turn.type for turn in turns} <= {"system", "human", "ai"}
        assert not any(turn.tool_calls for turn in turns if turn.type == "ai")


def test_all_that_the_inner_message_carried_is_there():
    logprobs = {"of": ["some", "shape"]}
    usage = {"input_tokens": 3, "output_tokens": 2, "total_tokens": 5}
    told = AIMessage(
        STEP,
        id="msg_1",
        name="ann",
        usage_metadata=usage,
        additional_kwargs={"reasoning_content": "hm"},
        response_metadata={"logprobs_result": logprobs},
    )
    message = ask(PromptedToolModel(model=inner(told, info={"finish_reason": "stop"})))
    assert message.tool_calls[0]["name"] == "price_of"
    assert (message.content, message.id, message.name, message.usage_metadata) == ("", "msg_1", "ann", usage)
    assert message.additional_kwargs == {"reasoning_content": "hm"}
    assert message.response_metadata["logprobs_result"] == logprobs
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["told"] == 1
    assert (told.content, told.tool_calls) == (STEP, [])


def test_generation_info_is_passed_on():
    model = PromptedToolModel(model=inner(STEP, info={"finish_reason": "stop"}))
    result = model._generate([HumanMessage("hi")])
    assert result.generations[0].generation_info == {"finish_reason": "stop"}


def test_several_choices():
    class Two(Inner):
        def _generate(self, *args, **kwargs):
            result = super()._generate(*args, **kwargs)
            result.generations.append(super()._generate(*args, **kwargs).generations[0])
            return result

    below = Two(says=[STEP, '{"answer": "no"}'], asked=[])
    bound = PromptedToolModel(model=below).bind_tools([price_of])
    (generations,) = bound.bound.generate([[HumanMessage("?")]], **bound.kwargs).generations
    assert [len(generation.message.tool_calls) for generation in generations] == [1, 0]
    assert generations[1].message.content == "no"


def test_the_inner_runs_id_is_not_passed_on():
    seen = []

    class Watch(BaseCallbackHandler):
        def on_llm_end(self, response, *, run_id, parent_run_id=None, **kwargs):
            seen.append((str(run_id), parent_run_id and str(parent_run_id), response.generations[0][0].message.id))

    message = ask(PromptedToolModel(model=inner(STEP)), config={"callbacks": [Watch()]})
    below, above = seen
    assert below[1] == above[0]
    assert message.id == above[2] != below[2]
    assert above[0] in message.id


@pytest.mark.parametrize(
    ("content", "text", "expected"),
    [
        ([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": BLOCK}], "", ["reasoning"]),
        ([{"type": "reasoning", "reasoning": "hm"}, {"type": "text", "text": "So."}], "So.", ["reasoning", "text"]),
        (
            [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": f"So. {BLOCK}"}],
            "So.",
            ["thinking", "text"],
        ),
        ([{"type": "text", "text": f"So. {BLOCK}"}], "So.", None),
        (["So. ", {"type": "text", "text": BLOCK}], "So.", None),
    ],
)
def test_blocks_of_reasoning_stay(content, text, expected):
    message = ask(PromptedToolModel(model=inner(AIMessage(content)), protocol="hermes"))
    assert message.text == text
    assert bool(message.tool_calls) == ("tool_call" in str(content))
    if expected is None:
        assert message.content == text
    else:
        assert [block["type"] for block in message.content] == expected


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_an_opening_thought_is_kept_apart(protocol):
    call, answer = PROTOCOLS[protocol]
    model = PromptedToolModel(
        model=inner(f"<think>hm {call}</think>\n{call}", f"no tags</think>{answer}"), protocol=protocol
    )
    first, second = ask(model), ask(model)
    assert (first.content, len(first.tool_calls)) == ("", 1)
    assert first.additional_kwargs["reasoning_content"] == f"hm {call}"
    assert (second.content, second.additional_kwargs["reasoning_content"]) == ("3 euros", "no tags")


def test_unexpected_native_tool_calls_are_kept():
    native = {"name": "price_of", "args": {"name": "lamp"}, "id": "n", "type": "tool_call"}
    message = ask(PromptedToolModel(model=inner(AIMessage(BLOCK, tool_calls=[native])), protocol="hermes"))
    assert [call["args"]["name"] for call in message.tool_calls] == ["lamp", "mug"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_cut_reply_is_an_invalid_tool_call(protocol):
    message = ask(
        PromptedToolModel(model=inner(PROTOCOLS[protocol][0][: -14 if protocol == "hermes" else -3]), protocol=protocol)
    )
    (call,) = message.invalid_tool_calls
    assert call["name"] == "price_of"
    assert "max_tokens" in call["error"]


def test_examples_stand_before_the_conversation_and_the_preamble_opens():
    below = inner(STEP)
    examples = (HumanMessage("EXAMPLE"), AIMessage("DONE"))
    ask(PromptedToolModel(model=below, examples=examples, preamble="Do it."))
    system, *turns = below.asked[0][0]
    assert system.content.splitlines()[0] == "Do it."
    assert [turn.content for turn in turns] == ["EXAMPLE", '{"answer": "DONE"}', "price?"]


def test_without_tools_the_inner_model_is_asked_as_it_is():
    below = inner("<think>a</think> b")
    conversation = [SystemMessage("s"), HumanMessage("hi"), HumanMessage("ho")]
    shape = {"type": "json_object"}
    model = PromptedToolModel(model=below, examples=(HumanMessage("EXAMPLE"),))
    message = model.invoke(conversation, stop=["."], response_format=shape, temperature=0)
    assert message.content == "<think>a</think> b"
    ((turns, stop, options),) = below.asked
    assert [turn.content for turn in turns] == ["s", "hi", "ho"]
    assert (stop, options) == (["."], {"response_format": shape, "temperature": 0})


def test_without_tools_calls_of_earlier_turns_are_text():
    below = inner("ok")
    call = {"name": "price_of", "args": {}, "id": "1"}
    history = [HumanMessage("?"), AIMessage("", tool_calls=[call]), ToolMessage("4.50", tool_call_id="1")]
    PromptedToolModel(model=below, protocol="hermes").invoke(history)
    assert [turn.type for turn in below.asked[0][0]] == ["human", "ai", "human"]
    assert "tool_response" in below.asked[0][0][2].content


def test_stop_sequences_of_the_caller_and_of_the_protocol():
    below = inner("ok")
    ask(PromptedToolModel(model=below, protocol=HermesProtocol(stop=("<tool_response>",))), stop=["."])
    ask(PromptedToolModel(model=below, protocol="hermes"))
    assert [stop for _, stop, _ in below.asked] == [[".", "<tool_response>"], None]


class Strict(Inner):
    """It has a ``stop`` of its own and takes no other beside it, as ChatOllama; its name is Anthropic's."""

    stop_sequences: list[str] | None = Field(None, alias="stop")

    def _generate(self, messages, stop=None, run_manager=None, **kwargs):
        if stop is not None and self.stop_sequences is not None:
            raise ValueError("`stop` found in both the input and default params.")
        return super()._generate(messages, stop or self.stop_sequences, run_manager, **kwargs)


END = HermesProtocol(stop=("<tool_response>", "."))


@pytest.mark.parametrize("mode", ["sync", "async"])
@pytest.mark.parametrize(
    ("own", "given", "protocol", "sent"),
    [
        (["END", "."], {}, END, ["END", ".", "<tool_response>"]),
        ("END", {}, END, ["END", "<tool_response>", "."]),
        (None, {}, END, ["<tool_response>", "."]),
        ([], {}, END, ["<tool_response>", "."]),
        (["END"], {}, "hermes", ["END"]),
        (["END"], {}, "json_schema", ["END"]),
        (["END"], {"stop": ["x"]}, END, ["x", "<tool_response>", "."]),  # as ever, a call's replace the model's
        (["END"], {"stop": "FIN"}, "hermes", ["FIN"]),
        (["END"], {"stop": "FIN"}, END, ["FIN", "<tool_response>", "."]),
    ],
)
def test_stop_sequences_of_the_inner_model_hold(fake, chat_openai, mode, own, given, protocol, sent):
    model = PromptedToolModel(model=chat_openai(stop=own), protocol=protocol).bind_tools([price_of])
    model.invoke("price?", **given) if mode == "sync" else asyncio.run(model.ainvoke("price?", **given))
    assert fake.bodies()[-1]["stop"] == sent


def test_stop_sequences_are_joined_with_the_models_own():
    below = Strict(says=["ok"], asked=[], stop=["END"])
    model = PromptedToolModel(model=below, protocol=END)
    ask(model)
    model.invoke("no tools")
    assert [stop for _, stop, _ in below.asked] == [["END", "<tool_response>", "."], ["END"]]


def test_a_protocol_of_ones_own():
    class Shout(HermesProtocol):
        def parse(self, text, offer):
            return AIMessage(text.upper(), additional_kwargs={"loud": True})

    message = ask(PromptedToolModel(model=inner("yes"), protocol=Shout()))
    assert (message.content, message.additional_kwargs) == ("YES", {"loud": True})
    with pytest.raises(ConfigError, match="protocol"):
        PromptedToolModel(model=inner("yes"), protocol="smoke signals")


@pytest.mark.parametrize("name", ["response_format", "format", "response_json_schema"])
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_response_format_excludes_tools(protocol, name):
    model = PromptedToolModel(model=inner("x"), protocol=protocol)
    with pytest.raises(ConfigError, match=f"{name}.*ToolStrategy"):
        ask(model, **{name: {"type": "json_object"}})
    with pytest.raises(ConfigError, match="ToolStrategy"):
        create_agent(model, [price_of], response_format=ProviderStrategy(Price)).invoke({"messages": [("user", "?")]})


def test_wrong_tools_are_told_when_they_are_bound():
    model = PromptedToolModel(model=inner("x"))
    with pytest.raises(ConfigError, match="price_of"):
        model.bind_tools([price_of], tool_choice="fly")
    with pytest.raises(ConfigError, match="bind functions"):
        model.bind_tools([price_of, {"type": "web_search"}])


@pytest.mark.parametrize("strategy", [ToolStrategy(Price), Price])
@pytest.mark.parametrize("name", ["inner-model", "gpt-4o"])
def test_structured_output_goes_by_tool(strategy, name):
    # By its name, create_agent would take gpt-4o for a model with structured output of its own.
    class Named(Inner):
        model_name: str = name

    below = Named(says=['{"Price": {"euros": 4.5}}'], asked=[], profile={"structured_output": True})
    model = PromptedToolModel(model=below)
    agent = create_agent(model, [price_of], response_format=strategy)
    assert agent.invoke({"messages": [("user", "price?")]})["structured_response"] == Price(euros=4.5)
    assert model.with_structured_output(Price).invoke("price?") == Price(euros=4.5)


def test_the_inner_profile_is_kept_without_native_features():
    profile = {"max_input_tokens": 100, "structured_output": True}
    model = PromptedToolModel(model=inner("x", profile=profile))
    assert model.profile == {"max_input_tokens": 100, "structured_output": False}
    assert PromptedToolModel(model=inner("x")).profile is None


@pytest.mark.parametrize("stream_mode", ["messages", "updates", "custom"])
@pytest.mark.parametrize("mode", ["sync", "async"])
def test_outer_stream_modes_get_one_whole_message(stream_mode, mode):
    agent = create_agent(PromptedToolModel(model=inner(BLOCK, "3 euros"), protocol="hermes"), [price_of])
    state = {"messages": [("user", "price?")]}

    async def collect():
        return [part async for part in agent.astream(state, stream_mode=stream_mode)]

    parts = list(agent.stream(state, stream_mode=stream_mode)) if mode == "sync" else asyncio.run(collect())
    if stream_mode == "messages":
        assert [part[0].text for part in parts] == ["", "3.00", "3 euros"]
        assert parts[0][0].tool_calls
    assert "<tool_call>" not in str(parts)


async def test_events_see_one_message():
    agent = create_agent(PromptedToolModel(model=inner(BLOCK, "3 euros"), protocol="hermes"), [price_of])
    events = [event async for event in agent.astream_events({"messages": [("user", "price?")]}, version="v2")]
    assert [event["name"] for event in events if event["event"] == "on_chat_model_end"] == ["PromptedToolModel"] * 2


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_tracers_see_the_inner_call_with_tags_and_metadata(mode):
    seen = []

    class Watch(BaseCallbackHandler):
        def on_chat_model_start(self, serialized, messages, *, tags=None, metadata=None, parent_run_id=None, **kwargs):
            params = kwargs["invocation_params"]
            seen.append(
                (params["_type"], sorted(tags), metadata["of"], metadata["own"], parent_run_id is not None, params)
            )

    model = PromptedToolModel(model=inner(STEP), tags=["own"], metadata={"own": 1}).bind_tools([price_of])
    config = {"callbacks": [Watch()], "tags": ["call"], "metadata": {"of": 2}}
    model.invoke("?", config) if mode == "sync" else asyncio.run(model.ainvoke("?", config))
    assert [entry[:5] for entry in seen] == [
        ("ec-agent-prompted", ["call", "own"], 2, 1, False),
        ("inner", ["call", "own"], 2, 1, True),
    ]
    assert seen[0][5]["model"] == "inner-model"
    assert seen[0][5]["temperature"] == 0.5
    assert "JsonSchemaProtocol" in seen[0][5]["protocol"]


def test_an_extra_body_is_added_to(fake, local):
    below = local.model_copy(update={"extra_body": {"a": 1, "b": 1}})
    ask(PromptedToolModel(model=below, protocol=JsonSchemaProtocol("extra_body")), extra_body={"b": 2})
    (body,) = fake.bodies()
    assert (body["a"], body["b"], body["response_format"]["type"]) == (1, 2, "json_schema")


def test_a_model_is_plain_data(local):
    for protocol in ("json_schema", HermesProtocol(stop=("x",))):
        model = PromptedToolModel(model=local, protocol=protocol, examples=(HumanMessage("a"),))
        for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
            assert twin == model
            assert twin.invoke("hi").content == "w0 "
