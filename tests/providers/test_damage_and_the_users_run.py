"""Damaged answers through a real client: whatever its user meets, a value or an error, is met inside a rollout too."""

from __future__ import annotations

import json
import random
import re
import warnings

import httpx2
import pytest
from langchain_openai import ChatOpenAI
from openai import OpenAI
from test_corpus import INCLUDE, LISTS, LOGPROBS, TURNS, damaged, served

from ec_agent import record_calls
from ec_agent.errors import EcAgentWarning

CHAT = ("OpenAI", "vLLM, token ids", "llama.cpp", "Together", "Fireworks, lists", "DeepSeek")
# LangChain cannot add up Together's parts; inside a rollout it can.
NAMES = {
    "chat": CHAT,
    "langchain": [name for name in CHAT if name != "Together"],
    "completions": ("completions",),
    "responses": ("Responses",),
}
TIMES = 30
pytestmark = pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # LangChain's, at damaged answers


class Told:
    """A client's network: answers whatever was put in."""

    def __init__(self) -> None:
        self.answer = httpx2.Response(500)
        self.client = httpx2.Client(transport=httpx2.MockTransport(lambda request: self.answer))

    def put(self, payload, stream):
        if stream:
            raw = "".join(f"data: {json.dumps(event, default=str)}\n\n" for event in payload) + "data: [DONE]\n\n"
        else:
            raw = json.dumps(payload, default=str)
        kind = "text/event-stream" if stream else "application/json"
        self.answer = httpx2.Response(200, headers={"content-type": kind}, content=raw.encode())


def asking(told):
    """Ways to ask, each with an argument: whether to stream."""
    client = OpenAI(base_url="http://x/v1", api_key="none", max_retries=0, http_client=told.client)
    model = ChatOpenAI(model="m", base_url="http://x/v1", api_key="none", max_retries=0, http_client=told.client)
    messages = [{"role": "user", "content": "hi"}]
    return {
        "chat": lambda stream: client.chat.completions.create(model="m", messages=messages, stream=stream, **LOGPROBS),
        "completions": lambda stream: client.completions.create(model="m", stream=stream, **LISTS),
        "responses": lambda stream: client.responses.create(model="m", input="hi", stream=stream, **INCLUDE),
        "langchain": lambda stream: (model.stream if stream else model.invoke)("hi", **LOGPROBS),
    }


def met(ask, stream):
    """What the user meets: the values, and the kind of error that ends them."""
    values = []
    try:
        answer = ask(stream)
        values.extend(answer if stream else [answer])
    except Exception as error:
        return values, type(error)
    return values, None


def shown(values):
    """As text, less the names that LangChain makes up for each run."""
    return [re.sub(r"lc_run-+[-0-9a-f]+", "", repr(each)) for each in values]


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("way", NAMES)
def test_the_users_run_is_the_same_inside(way, stream):
    told, chance = Told(), random.Random(f"{way} {stream}")
    ask = asking(told)[way]
    known = 0
    for _ in range(TIMES):
        broken = damaged(served(chance.choice(NAMES[way]), TURNS[chance.choice(list(TURNS))], stream), chance)
        told.put(broken, stream)
        outside = met(ask, stream)
        told.put(broken, stream)
        with warnings.catch_warnings():
            warnings.simplefilter("error", EcAgentWarning)
            with record_calls(signals=["entropy", "logprob"]) as recorder:
                inside = met(ask, stream)
            known += recorder.counted_calls().scored_tokens
        if (way, stream, outside[1]) == ("langchain", True, TypeError) and inside[1] is None:
            continue  # LangChain cannot add such parts; within a rollout they come in a form that it can
        assert inside[1] is outside[1], broken
        assert shown(inside[0]) == shown(outside[0]), broken
    assert known > TIMES / 2  # and most of it is read
