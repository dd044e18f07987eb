"""What ``openai_objects`` relies on, in pydantic, in the openai client and in langchain_openai."""

from __future__ import annotations

import inspect

from langchain_openai.chat_models import base
from openai import BaseModel
from openai._base_client import AsyncAPIClient, SyncAPIClient
from openai._models import construct_type
from openai.types.chat import ChatCompletion
from openai.types.chat.chat_completion import Choice
from openai.types.chat.chat_completion_chunk import Choice as ChunkChoice
from openai.types.responses import ResponseOutputText
from pydantic import BaseModel as Pydantic

from ec_agent.insides.openai_objects import Later, dump_later, later_in, put_later

VALUE = {"content": [{"token": "a", "logprob": -1, "top_logprobs": []}]}


class Ready(Later):
    def value(self):
        return VALUE


def a_choice(logprobs=None):
    message = {"role": "assistant", "content": "hi"}
    value = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": "stop", "more": 1}
    return construct_type(type_=Choice, value=value)


def test_an_object_may_change_its_class_and_back():
    choice = a_choice()
    put_later(choice, Ready())
    assert later_in(choice) is not None
    assert type(choice) is not Choice
    assert choice.logprobs == a_choice(VALUE).logprobs
    assert type(choice) is Choice
    assert later_in(choice) is None


def test_serialisers_get_the_fields_as_an_attribute():
    choice = a_choice()
    put_later(choice, Ready())
    assert choice.model_dump_json() == a_choice(VALUE).model_dump_json()


def test_fields_and_methods_where_they_are_looked_for():
    assert issubclass(BaseModel, Pydantic)
    for holder in (Choice, ChunkChoice, ResponseOutputText):
        assert "logprobs" in holder.model_fields
    assert {"__copy__", "__deepcopy__", "__repr__", "__eq__"} <= set(dir(Choice))


def test_langchain_dumps_the_answer_it_got():
    """By ``model_dump()``, in modules whose names begin as we expect."""
    assert base.__name__.startswith("langchain_openai.")
    assert "response.model_dump(" in inspect.getsource(base.BaseChatOpenAI._create_chat_result)
    assert "chunk.model_dump()" in inspect.getsource(base.BaseChatOpenAI._stream)
    # It keeps no logprobs of the Responses API, so that none need to be made for it.
    assert "logprobs" not in inspect.getsource(base._construct_lc_result_from_responses_api)


def test_the_client_makes_objects_in_the_method_that_is_patched():
    for client in (SyncAPIClient, AsyncAPIClient):
        names = inspect.signature(client._process_response).parameters
        assert {"cast_to", "options", "response", "stream"} <= set(names)
        assert all(each.kind is each.KEYWORD_ONLY for name, each in names.items() if name != "self")
    source = inspect.getsource(inspect.getmodule(SyncAPIClient).APIResponse)
    assert "self._parse(to=to)" in source


def test_langchain_alone_gets_an_answer_without_its_logprobs_made():
    """Who else asks for a dump gets the logprobs themselves."""

    class Dumped(Ready):
        def value(self):
            made.append(True)
            return VALUE

        def dumped(self, made):
            return "instead"

    def answer():
        choice = a_choice()
        put_later(choice, Dumped())
        whole = construct_type(type_=ChatCompletion, value={"id": "1", "choices": [], "object": "chat.completion"})
        whole.choices.append(choice)
        dump_later(whole)
        return whole

    made = []
    reader = {"__name__": "langchain_openai.any"}
    exec("def dump(answer): return answer.model_dump()", reader)
    assert reader["dump"](answer())["choices"][0]["logprobs"] == "instead"
    assert made == []
    (mine,) = answer().model_dump()["choices"]
    assert mine["logprobs"]["content"][0]["token"] == "a"
    assert made
