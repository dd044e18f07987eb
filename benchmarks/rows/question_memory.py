"""The most memory that one question of 64 long answers needs, beyond what the process had.

Against the same question with ``keep_logprobs=True``, for which the client makes objects of all logprobs, as it did for
every question before. A third arm is what the HTTP client alone takes to collect the same bodies, of which nothing is
read. Each in a process of its own, whose endpoint is in another.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from functools import partial

from benchmarks.harness import Case, at_most, value
from benchmarks.serving import TOKENS, serving

N = 64
GOAL = 0.15
_QUESTION = """
import asyncio, gc, sys, warnings
from pathlib import Path
from langchain_core.messages import AIMessage
from openai import AsyncOpenAI
from benchmarks.rows.question import MESSAGES, WAYS
from ec_agent import best_of_n
warnings.simplefilter("ignore")
url, n, what = sys.argv[1], int(sys.argv[2]), sys.argv[3]
ask = WAYS["ChatOpenAI, async"](url, False, True)
raw = AsyncOpenAI(base_url=url, api_key="none").chat.completions.with_raw_response

async def agent(state):
    return {"messages": [AIMessage(await ask())]}

def kilobytes(name):
    line = next(line for line in open("/proc/self/status") if line.startswith(name))
    return int(line.split()[1])

async def body():
    answer = await raw.create(model="m", messages=MESSAGES, logprobs=True, top_logprobs=20)
    return len(answer.http_response.content)

async def question(n):
    if what == "bodies alone":
        await asyncio.gather(*(body() for _ in range(n)))
    else:
        await best_of_n(agent, n=n, keep_logprobs=what == "objects").arun({"messages": MESSAGES})

with asyncio.Runner() as runner:
    runner.run(question(1))  # what is loaded once is no part of it
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before = kilobytes("VmRSS")
    runner.run(question(n))
    print((kilobytes("VmHWM") - before) * 1024)
"""


def cases() -> Iterator[Case]:
    """One question over ``ChatOpenAI``, whole answers."""
    with serving() as url:
        yield Case(
            f"peak memory of a question of {N}, ChatOpenAI, async, whole, {TOKENS:,} tokens each",
            {name: partial(_peak, f"{url}/plain/v1", name) for name in ("bytes", "bodies alone", "objects")},
            [at_most("bytes", "objects", GOAL), at_most("bodies alone", "objects", GOAL)],
            gauge=value,
            unit="bytes",
            rounds=3,
            seconds=120,
        )


def _peak(url: str, name: str) -> int:
    command = [sys.executable, "-c", _QUESTION, url, str(N), name]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return int(done.stdout.split()[-1])
