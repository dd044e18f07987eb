"""On and off: what is loaded, what is refused, and who decides on content."""

from __future__ import annotations

import subprocess
import sys

import pytest
from clerks import ASKED, clerk, peak
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from ec_agent import ConfigError, best_of_n
from ec_agent.support.extras import installing
from ec_agent.testing import Reply
from ec_agent.tracing import instrument, switch, uninstrument

VARIABLE = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
OFF = """
import sys
sys.modules["opentelemetry"] = None  # importing it would fail
from ec_agent import best_of_n
from ec_agent.testing import Reply, ScriptedChatModel
model = ScriptedChatModel([[Reply("a", entropies=[2.0, 0.1, 0.1])]])
best_of_n(lambda state: {"said": model.invoke("hi").content}, n=1).run({})
print(sorted(name for name in sys.modules if name.startswith("ec_agent.tracing.")))
"""
ABSENT = """
import sys
sys.modules["opentelemetry"] = None
from ec_agent import ConfigError
from ec_agent.tracing import instrument
try:
    instrument()
except ConfigError as error:
    print(error)
"""


def printed(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def exported():
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    yield provider, exporter
    uninstrument()


def ask():
    best_of_n(clerk([Reply("a private answer", entropies=peak(1))]), n=1).run(ASKED)


def test_switched_off_nothing_is_loaded():
    assert printed(OFF) == "[]"


@pytest.mark.whole_form("a process of its own, to see what is said where a package is missing")
def test_without_the_package_it_says_what_to_install():
    assert f"run: {installing('ec-agent[otel]')}" in printed(ABSENT)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"tracer_provider": "console"}, "TracerProvider"),
        ({"content": "yes"}, "True or False"),
        ({"calls": None}, "True or False"),
        ({"tools": 1}, "True or False"),
    ],
    ids=lambda value: value if isinstance(value, str) else next(iter(value)),
)
def test_wrong_arguments_are_refused(arguments, said):
    with pytest.raises(ConfigError, match=said):
        instrument(**arguments)


@pytest.mark.parametrize(
    ("value", "asked"),
    [
        ("true", True),
        ("SPAN_ONLY", True),
        ("span_and_event", True),
        ("event_only", False),
        ("false", False),
        ("", False),
    ],
)
def test_the_environment_may_ask_for_content(monkeypatch, exported, value, asked):
    monkeypatch.setenv(VARIABLE, value)
    instrument(exported[0])
    ask()
    assert any("gen_ai.input.messages" in span.attributes for span in exported[1].get_finished_spans()) is asked


@pytest.mark.parametrize("content", [True, False])
def test_the_argument_overrides_the_environment(monkeypatch, exported, content):
    monkeypatch.setenv(VARIABLE, str(not content))
    instrument(exported[0], content=content)
    ask()
    assert any("gen_ai.input.messages" in span.attributes for span in exported[1].get_finished_spans()) is content


def test_a_second_call_replaces_the_first(exported):
    first = InMemorySpanExporter()
    other = TracerProvider()
    other.add_span_processor(SimpleSpanProcessor(first))
    instrument(other)
    instrument(exported[0])
    ask()
    assert not first.get_finished_spans()
    assert len(exported[1].get_finished_spans()) == 4


def test_switching_off_ends_open_spans(exported):
    instrument(exported[0])

    def agent(state):
        uninstrument()
        return {"said": "it"}

    best_of_n(agent, n=1, on_unscored="first").run({})
    names = {span.name for span in exported[1].get_finished_spans()}
    assert names == {"best_of_n agent", "invoke_agent agent", "ec_agent.select"}


def test_the_patch_is_put_on_once(exported):
    from langchain_core.tools import BaseTool

    instrument(exported[0])
    before = BaseTool.run
    instrument(exported[0])
    assert BaseTool.run is before
    assert switch.CONTENT == VARIABLE
