"""Agents whose rollouts differ by their seed alone, runs of them by Inspect, and what must come of it, said slowly."""

from __future__ import annotations

import math
import random

import inspect_ai
from inspect_ai import Epochs, Task
from inspect_ai.dataset import Sample
from inspect_ai.log import read_eval_log
from inspect_ai.model import ChatCompletionChoice, ChatMessageAssistant, Logprobs, ModelOutput, ModelUsage, get_model
from inspect_ai.scorer import Score, accuracy, scorer
from inspect_ai.solver import solver
from langchain_core.messages import ToolMessage
from langgraph.graph import END, START, MessagesState, StateGraph

from benchmarks import baseline
from ec_agent.capture.recorder import current_recorder
from ec_agent.evaluation.run_settings import RunSettings
from ec_agent.testing import Reply, ScriptedChatModel, logprobs_for
from ec_agent.traces.stored import Key

SAMPLES = [Sample(f"question {name}", target="right", id=name, metadata={"topic": name}) for name in ("a", "b", "c")]


def entropies_of(seed, turn):
    chance = random.Random(seed * 31 + turn)
    return [round(chance.choice((0.05, 0.1, 0.2, 1.0, 2.0)) * chance.random(), 3) for _ in range(20 + seed % 17)]


def answer_of(seed):
    return "right" if seed % 2 else "wrong"


def reply_of(seed, turn):
    """A tool call, then the answer; a seed divisible by 5 gives no logprobs."""
    entropies = entropies_of(seed, turn) if seed % 5 else None
    if turn == 0:
        return Reply(tool_calls=[("look", {"q": seed % 7})], entropies=entropies, tokens=20 + seed % 17)
    return Reply(answer_of(seed), entropies=entropies, tokens=20 + seed % 17)


def seeded(messages, index):
    sampling = current_recorder.get().requests.sampling
    return reply_of(sampling.get("seed", index), sum(message.type == "ai" for message in messages))


def graph_of(script=seeded):
    """A graph of two model calls with a tool between them."""
    model = ScriptedChatModel(script)

    async def ask(state):
        return {"messages": [await model.ainvoke(state["messages"])]}

    def look(state):
        (call,) = state["messages"][-1].tool_calls
        return {"messages": [ToolMessage("found", tool_call_id=call["id"])]}

    builder = StateGraph(MessagesState)
    builder.add_node("ask", ask)
    builder.add_node("look", look)
    builder.add_edge(START, "ask")
    builder.add_conditional_edges("ask", lambda s: "look" if s["messages"][-1].tool_calls else END)
    builder.add_edge("look", "ask")
    return builder.compile(name="toy")


agent = graph_of()


def run(home, solver, scorer, *, samples=SAMPLES, reducers=(), epochs=1, model="mockllm/model", **options):
    """Evaluate, and read the log that was written."""
    task = Task(samples, solver=solver, scorer=scorer, epochs=Epochs(epochs, list(reducers) or None))
    (log,) = inspect_ai.eval(task, model=model, log_dir=str(home), display="none", **options)
    return read_eval_log(log.location, resolve_attachments=True)


@solver
def numbered():
    """Writes the epoch behind the question, so that models can answer by it."""

    async def solve(state, generate):
        state.user_prompt.text = f"{state.user_prompt.text} {state.epoch}"
        return state

    return solve


@scorer(metrics=[accuracy()])
def judged():
    """Asks the model itself, and thinks well of everything."""

    async def score(state, target):
        await get_model().generate("judge this 0")
        return Score(value="C")

    return score


def seed_of(sample, epoch, seed=0):
    return RunSettings(seed=seed).seed_of(Key(sample, "sample", epoch - 1))


def slow_timeline(*calls):
    entries = [entry for call in calls for entry in logprobs_for(call)]
    return [baseline.token_entropy([top["logprob"] for top in entry["top_logprobs"]]) for entry in entries]


def slow_centroid(*calls):
    timeline = slow_timeline(*calls)
    return baseline.centroid(baseline.phases(timeline, 1, 80, 2), len(timeline))


def slow_pick(scores, values):
    """Mean value of those with the lowest score; None is no score, and loses to any; all None: all are picked."""
    known = [score for score in scores if score is not None]
    picked = [v for s, v in zip(scores, values, strict=True) if not known or s == min(known)]
    return math.fsum(picked) / len(picked)


def model_of(answer):
    """An Inspect model; ``answer(messages, config)`` gives its text and the entropies of its tokens."""

    def generate(messages, tools, tool_choice, config):
        text, entropies = answer(messages, config)
        entries = {"content": logprobs_for(entropies)}
        logprobs = Logprobs.model_validate(entries) if config.logprobs else None
        choice = ChatCompletionChoice(message=ChatMessageAssistant(content=text), logprobs=logprobs)
        usage = ModelUsage(input_tokens=1, output_tokens=len(entropies), total_tokens=1 + len(entropies))
        return ModelOutput(model="mock", choices=[choice], usage=usage)

    return get_model("mockllm/model", custom_outputs=generate, memoize=False)
