"""Agents whose every span is known beforehand, and how to look at what was exported."""

from __future__ import annotations

import asyncio

from langchain.agents import create_agent
from langchain_core.tools import tool
from opentelemetry import trace

from ec_agent import read_only
from ec_agent.testing import Reply, ScriptedChatModel

ASKED = {"messages": [("user", "a private question")]}


def peak(at, length=20):
    """Entropies of a sure model but for one token: the centroid is ``(at + 0.5) / length``."""
    return [2.0 if place == at else 0.1 for place in range(length)]


@read_only
@tool
def look(q: str) -> str:
    """Look."""
    with trace.get_tracer("theirs").start_as_current_span("database"):
        return f"found {q}"


@read_only
@tool
async def alook(q: str) -> str:
    """Look."""
    with trace.get_tracer("theirs").start_as_current_span("database"):
        await asyncio.sleep(0)
        return f"found {q}"


def searching(at):
    """A rollout that looks something up, then answers."""
    return [
        Reply(tool_calls=[("look", {"q": "private things"})], entropies=peak(at, 10)),
        Reply(f"a private answer {at}", entropies=[0.1] * 10),
    ]


def clerk(*scripts, tools=(look,), **options):
    return create_agent(ScriptedChatModel(list(scripts)), list(tools), name="clerk", **options)


def sync_run(node, asked=ASKED, config=None, **kwargs):
    return node.run(asked, config, **kwargs)


def async_run(node, asked=ASKED, config=None, **kwargs):
    return asyncio.run(node.arun(asked, config, **kwargs))


class Tree:
    """Exported spans by their place: ``tree.under(span)`` and ``tree.named(name)`` in order of their starts."""

    def __init__(self, spans):
        self.spans = sorted(spans, key=lambda span: span.start_time)

    def under(self, span=None):
        above = None if span is None else span.context.span_id
        return [s for s in self.spans if (s.parent.span_id if s.parent else None) == above]

    def named(self, name):
        return [span for span in self.spans if span.name == name]

    def one(self, name):
        (span,) = self.named(name)
        return span

    def names_under(self, span):
        return [s.name for s in self.under(span)]

    def rollout(self, index):
        (span,) = [s for s in self.named("invoke_agent clerk") if s.attributes["ec_agent.rollout.index"] == index]
        return span

    def text(self):
        """Everything that was exported of the spans, in one string."""
        return "\n".join(span.to_json() for span in self.spans)
