"""Answers saved as JSON, straight from the wire, with no client in between."""

from __future__ import annotations

import json
import math

import pytest
import wire_gemini
import wire_hosts
import wire_ollama
import wire_openai
import wire_servers
from said import PLAIN, REASONING, TOOLS, entropies
from wire import Asked
from wire_openai import speaks

from ec_agent.evaluator import trajectory_of

LOGPROBS = {"logprobs": True, "top_logprobs": 20}
INCLUDE = {"include": ["message.output_text.logprobs"], "top_logprobs": 20}
GEMINI = {"generationConfig": {"responseLogprobs": True, "logprobs": 20}}
WHOLE = {
    "OpenAI Chat Completions": (speaks(wire_openai.OPENAI), LOGPROBS),
    "OpenAI Responses": (wire_openai.responses, INCLUDE),
    "OpenAI completions": (wire_openai.legacy, {"prompt": "hi", "logprobs": 5}),
    "llama.cpp": (wire_servers.llama, LOGPROBS),
    "llama.cpp completion": (wire_servers.llama_native, {"n_probs": 20}),
    "Ollama": (wire_ollama.chat, {**LOGPROBS, "stream": False}),
    "Gemini": (wire_gemini.generate, GEMINI),
    "Mistral": (speaks(wire_hosts.MISTRAL), LOGPROBS),
    "Fireworks": (speaks(wire_hosts.FIREWORKS), LOGPROBS),
    "Fireworks lists": (speaks(wire_hosts.FIREWORKS_LISTS), {"logprobs": 5}),
    "DeepSeek": (speaks(wire_hosts.DEEPSEEK), LOGPROBS),
}
ALL_OF_IT = ("llama.cpp", "Ollama", "DeepSeek")


def saved(wire, turn, body):
    reply = wire(turn, Asked("/saved:generateContent", body))
    return json.loads(b"".join(reply.pieces))


@pytest.mark.parametrize("name", WHOLE)
def test_the_text(name):
    trajectory = trajectory_of(saved(WHOLE[name][0], PLAIN, WHOLE[name][1]))
    assert list(trajectory.entropies) == pytest.approx(entropies(PLAIN.tokens))


@pytest.mark.parametrize("name", ALL_OF_IT)
def test_the_thinking_before_it(name):
    trajectory = trajectory_of(saved(WHOLE[name][0], REASONING, WHOLE[name][1]))
    assert list(trajectory.entropies) == pytest.approx(entropies(REASONING.tokens))


@pytest.mark.parametrize("name", ["OpenAI Chat Completions", "OpenAI Responses", "Ollama", "Gemini"])
def test_a_tool_call_without_logprobs_is_a_gap(name):
    trajectory = trajectory_of(saved(WHOLE[name][0], TOOLS, WHOLE[name][1]))
    assert list(trajectory.entropies) == pytest.approx([math.nan] * len(TOOLS.tokens), nan_ok=True)


def test_probabilities_after_sampling_are_no_logprobs():
    body = {"n_probs": 20, "post_sampling_probs": True}
    trajectory = trajectory_of(saved(wire_servers.llama_native, PLAIN, body))
    assert list(trajectory.entropies) == pytest.approx([math.nan] * len(PLAIN.tokens), nan_ok=True)


def test_lists_without_candidates_are_gaps():
    trajectory = trajectory_of(saved(speaks(wire_hosts.TOGETHER), PLAIN, {"logprobs": 5}))
    assert list(trajectory.entropies) == pytest.approx([math.nan] * len(PLAIN.tokens), nan_ok=True)
