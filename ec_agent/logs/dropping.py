"""Recognises tools that leave logprobs out of the logs that they write, so that an error can say it.

With these tools, asking the model for logprobs does not help. They were found by running them; docs/traces.md lists the
versions.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from ec_agent.capture.shapes import get, listed, plain_message
from ec_agent.capture.shapes.unread_logprobs import logprobs_under, unread

_MOST = 10_000  # how many values of a record are looked at


class Tool(NamedTuple):
    """A tool that leaves logprobs out.

    Attributes:
        name: its name, with the kind of record if only that kind lacks logprobs.
        wrote: function that tells whether a mapping in a record was written by the tool.
    """

    name: str
    wrote: Callable[[Mapping[str, Any]], bool]


def _begins(*starts: str) -> Callable[[Mapping[str, Any]], bool]:
    """Make a test for mappings with a key that begins like this.

    OpenTelemetry's JSON writes attributes as ``{"key": ..., "value": ...}``; there the value of ``"key"`` is tested.
    """

    def wrote(thing: Mapping[str, Any]) -> bool:
        names = (*thing, thing.get("key"))
        return any(isinstance(name, str) and name.startswith(starts) for name in names)

    return wrote


def _has(*keys: str) -> Callable[[Mapping[str, Any]], bool]:
    return lambda thing: thing.keys() >= set(keys)


def _wrapped_stream(run: Mapping[str, Any]) -> bool:
    """Recognise a streamed answer of LangSmith's ``wrap_openai``, which joins the chunks without their logprobs."""
    return run.get("run_type") == "llm" and isinstance(get(run, "outputs", "choices"), list)


def _mlflow(thing: Mapping[str, Any]) -> bool:
    return any(isinstance(name, str) and name.startswith("mlflow.span") for name in thing)


def _responses_route(thing: Mapping[str, Any]) -> bool:
    message = plain_message(thing)
    return str(get(message, "response_metadata", "id")).startswith("resp_")


def _litellm_stream(thing: Mapping[str, Any]) -> bool:
    """Recognise a streamed answer in the logs of LiteLLM, which joins the chunks without their logprobs."""
    return "litellm_call_id" in thing and thing.get("stream") is True


def _smolagents_stream(step: Mapping[str, Any]) -> bool:
    """Recognise a streamed step of smolagents: it has no raw answer."""
    said = step.get("model_output_message")
    return "step_number" in step and isinstance(said, Mapping) and not said.get("raw")


DROPPING: tuple[Tool, ...] = (
    Tool("logfire", _begins("logfire.")),
    Tool("opentelemetry-instrumentation-openai (Traceloop), or a tracer like it,", _begins("gen_ai.", "traceloop.")),
    Tool("langfuse, of chat completions,", _begins("langfuse.")),
    Tool("langfuse, of chat completions,", _has("traceId", "modelParameters")),
    Tool("LangSmith's wrap_openai, of streamed answers,", _wrapped_stream),
    Tool("MLflow's autolog for openai, of streamed answers,", _mlflow),
    Tool("LiteLLM's log, of streamed answers,", _litellm_stream),
    Tool("smolagents, of streamed answers,", _smolagents_stream),
    Tool("AgentDojo", _has("suite_name", "user_task_id", "messages")),
    Tool("lm-eval's generate_until", _has("doc_id", "resps", "filtered_resps")),
    Tool("verifiers' eval client", _has("verifiers", "nodes", "calls")),
    Tool("LangChain's Responses route", _responses_route),
)


def why_none(record: Any) -> str | None:
    """Return why a record has no logprobs to score, or ``None`` if probably the model was not asked for any."""
    path = logprobs_under(record)
    if path is not None:
        return unread(path)
    tool = next((tool.name for thing in _mappings(record) for tool in DROPPING if tool.wrote(thing)), None)
    if tool is None:
        return None
    return (
        f"{tool} leaves logprobs out of what it writes, also where the model sent them; save the answers themselves, "
        "or record them with a TraceStore"
    )


def _mappings(record: Any) -> Iterator[Mapping[str, Any]]:
    left, looked = [record], 0
    while left and looked < _MOST:
        thing = left.pop()
        looked += 1
        if isinstance(thing, Mapping):
            yield thing
            left += reversed(list(thing.values()))
        else:
            left += reversed(listed(thing))
