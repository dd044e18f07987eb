"""Whose model calls those of an Inspect sample are, and which samples are candidates."""

from __future__ import annotations

import json

import pytest
from log_kit import told

from ec_agent.testing import logprobs_for


class Log:
    """A sample's events as inspect_ai 0.3.285 writes them; the n-th model call has n + 1 tokens.

    Args:
        ids: whether messages have ids, and inputs refer to a pool of them.
    """

    def __init__(self, ids=True):
        self.ids, self.events, self.messages, self.pool, self.calls = ids, [], [], [], 0
        self.events.append({"event": "span_begin", "id": "a", "parent_id": None, "type": "agent", "name": "react"})

    def say(self, role, text="x"):
        self.messages.append({"role": role, "content": text, **({"id": f"m{len(self.messages)}"} if self.ids else {})})

    def model(self, given, *, kept, span="a", **more):
        """A call; ``kept`` appends its answer to the conversation."""
        message = {"role": "assistant", "content": "x", **({"id": f"o{self.calls}"} if self.ids else {})}
        self.calls += 1
        choice = {"message": message, "logprobs": {"content": logprobs_for([1.0] * self.calls)}}
        begin = len(self.pool)
        self.pool += given
        refs = {"input": [], "input_refs": [[begin, len(self.pool)]]} if self.ids else {}
        output = {"model": "m", "choices": [choice], "usage": {"input_tokens": 1, "output_tokens": self.calls}}
        self.events.append({"event": "model", "span_id": span, "role": None, "output": output, **refs, **more})
        if kept:
            self.messages.append(message)

    def agent(self, **more):
        self.model(list(self.messages), kept=True, **more)

    def judge(self, *given, **more):
        self.model(list(given) or [{"role": "user", "content": "right?", "id": f"q{self.calls}"}], kept=False, **more)

    def tool(self):
        self.events.append({"event": "tool", "span_id": "a", "function": "f", "result": "x"})
        self.say("tool")

    def score(self, scorer="one"):
        self.events.append({"event": "score", "span_id": "a", "intermediate": True, "scorer": scorer})

    def sample(self, **more):
        kept = {"messages": self.messages, "events_data": {"messages": self.pool}} if self.ids else {"messages": []}
        return {"id": "q", "epoch": 1, "output": {}, "scores": {}, "events": self.events, **kept, **more}


def attempts(log):
    """react(attempts=2): the answer is submitted, judged, and given again."""
    log.say("user")
    log.agent()
    log.tool()
    log.judge()
    log.score()
    log.say("user", "wrong, again")
    log.agent()
    log.tool()
    log.judge()
    log.score()


def without_tools(log):
    log.say("user")
    for _ in range(2):
        log.agent()
        log.judge()
        log.score()
        log.say("user", "again")


def two_judges(log):
    log.say("user")
    log.agent()
    log.tool()
    log.judge()
    log.score("one")
    log.judge()
    log.score("two")
    log.say("user", "again")
    log.agent()


def a_judge_that_asks_twice(log):
    log.say("user")
    log.agent()
    log.tool()
    log.judge()
    log.judge()
    log.score()
    log.agent()


def no_judge(log):
    """A scorer that asks no model."""
    log.say("user")
    log.agent()
    log.score()
    log.say("user", "again")
    log.agent()
    log.score()


SHAPES = {
    attempts: [1, 3],
    without_tools: [1, 3],
    two_judges: [1, 4],
    a_judge_that_asks_twice: [1, 4],
    no_judge: [1, 2],
}


def calls(folder, sample):
    (folder / "log.json").write_text(json.dumps({"version": 2, "status": "success", "eval": {}, "samples": [sample]}))
    (found,), troubles = told(folder / "log.json")
    assert troubles == []
    return [call.tokens for call in found.trajectory.calls]


@pytest.mark.parametrize("ids", [True, False])
@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_a_judge_within_the_agent_is_not_the_agent(tmp_path, shape, ids):
    log = Log(ids)
    shape(log)
    assert calls(tmp_path, log.sample()) == SHAPES[shape]


def test_ids_tell_more_than_the_shape(tmp_path):
    """An answer behind a tool that is not submitted by one; a judge that is given the conversation, and runs a tool."""
    log = Log()
    log.say("user")
    log.agent()
    log.tool()
    log.agent()
    log.score()
    log.judge(*log.messages)
    log.tool()
    log.judge(*log.messages)
    log.score()
    log.agent()
    assert calls(tmp_path, log.sample()) == [1, 2, 5]


@pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: shape.__name__)
def test_without_the_conversation_later_inputs_tell(tmp_path, shape):
    """As a running sample has it, and logs that were written without messages."""
    log = Log()
    shape(log)
    log.messages = []
    assert calls(tmp_path, log.sample()) == SHAPES[shape]


def test_an_answer_that_was_thrown_away_is_the_agents(tmp_path):
    """It came before one that was kept, so no judge spoke there."""
    log = Log()
    log.say("user")
    log.model(list(log.messages), kept=False)
    log.agent()
    log.judge()
    log.score()
    assert calls(tmp_path, log.sample()) == [1, 2]


def test_later_inputs_show_answers_removed_from_the_conversation(tmp_path):
    log = Log()
    log.say("user")
    log.agent()
    log.judge()
    log.score()
    log.agent()
    del log.messages[:2]  # compacted
    assert calls(tmp_path, log.sample()) == [1, 3]


def test_calls_that_are_nobodys_of_the_agent(tmp_path):
    log = Log()
    log.say("user")
    log.agent(error="overloaded")
    log.agent(pending=True)
    log.agent(role="user")
    log.agent()
    log.events.append({"event": "span_begin", "id": "s", "parent_id": None, "type": "scorers", "name": "scorers"})
    log.events.append({"event": "span_begin", "id": "t", "parent_id": "s", "type": "agent", "name": "judge"})
    log.judge(span="t")
    assert calls(tmp_path, log.sample()) == [4]


@pytest.mark.parametrize("within", [False, True])
def test_a_scorers_step_is_not_the_agents(tmp_path, within):
    """As logs had it before there were spans; a solver's step is the agent's."""
    log = Log()
    log.say("user")
    for kind in ("solver", "scorer"):
        log.events.append({"event": "step", "action": "begin", "type": kind, "name": "x"})
        if kind == "scorer" and within:
            log.events.append({"event": "step", "action": "begin", "type": None, "name": "y"})
            log.events.append({"event": "step", "action": "end", "type": None, "name": "y"})
        log.agent() if kind == "solver" else log.judge()
        log.events.append({"event": "step", "action": "end", "type": kind, "name": "x"})
    log.agent()
    assert calls(tmp_path, log.sample()) == [1, 3]


def test_a_failed_sample_is_not_a_candidate(tmp_path):
    log = Log()
    log.say("user")
    log.agent()
    failed = log.sample(error={"message": "RuntimeError('boom')", "traceback": "..."}, epoch=2)
    samples = [failed, log.sample(), {**failed, "id": "alone"}]
    (tmp_path / "log.json").write_text(json.dumps({"status": "error", "eval": {}, "samples": samples}))
    found, troubles = told(tmp_path / "log.json")
    assert [each.name for each in found] == ["q epoch 1"]
    assert [trouble.partition(", ")[2] for trouble in troubles] == [
        f"record {place} ended in an error (RuntimeError('boom')), so it is no candidate" for place in (0, 2)
    ]


def test_the_first_of_several_choices_counts(tmp_path):
    log = Log()
    log.say("user")
    log.agent()
    output = log.events[-1]["output"]
    output["choices"] *= 3
    output["usage"]["output_tokens"] = 3
    assert calls(tmp_path, log.sample()) == [1]
    (found,), _ = told(tmp_path / "log.json")
    assert (len(found.trajectory), found.trajectory.coverage) == (1, 1.0)
