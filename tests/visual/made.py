"""Selections made up for the tests of pictures: with tools, gaps, failures, and hostile words."""

from __future__ import annotations

import numpy as np

from ec_agent import Call, Candidate, LowestCentroid, Trajectory
from ec_agent.numbers.trajectory import ToolUse
from ec_agent.visual.chosen_anew import selection_of

HOSTILE = (
    "<script>alert(1)</script>",
    "</script><img src=x onerror=alert(2)>",
    "]]>",
    "<!--",
    '"><a href="javascript:alert(3)">',
    "'&quot;{{ 7 * 7 }}{% raw %}",
    "\u202egnp.exe\u2066",
    "\x00\x1b[31m\ud800\ufeff",
    "</style><style>*{display:none}",
)


def call(tokens, peaks=(), *, gap=None, words=None, tools=(), candidates=0, **more):
    """A call with quiet entropies, high ones at ``peaks``, and none in the slice ``gap``."""
    values = np.full(tokens, 0.05)
    values[list(peaks)] = np.linspace(1.5, 2.5, len(peaks)) if peaks else 0
    if gap is not None:
        values[gap] = np.nan
    texts = tuple(words[at % len(words)] if words else f"w{at} " for at in range(tokens))
    rows = tuple(
        tuple((f"c{at}.{k}" if k < 3 else " ", 0.5 / (k + 1)) for k in range(candidates)) for at in range(tokens)
    )
    return Call(values, texts=texts, tools=tuple(tools), candidates=rows if candidates else None, **more)


def use(name="weigh", arguments='{"parcel": "3 mugs"}', result="6730 g", error=None):
    return ToolUse(name, arguments, result, error)


def candidate(index, *calls, said="an answer", **more):
    return Candidate(index, Trajectory(calls), final_action=said, **more)


def usual():
    """Five rollouts: a late one, the winner, one with a gap, one not scored, one that failed."""
    return selection_of(
        [
            candidate(0, call(40, (30, 31), tools=[use()]), call(40, (20, 21, 22)), said="late"),
            candidate(
                1,
                call(
                    40,
                    (4, 5, 6),
                    tools=[use(), use("convert", "{}", None, "ValueError: no")],
                    candidates=4,
                    node="agent",
                ),
                call(60, (2,), candidates=4, model="small-model"),
                said="early",
            ),
            candidate(2, call(30, (9,), tools=[use("look")]), call(60, (50,), gap=slice(10, 40))),
            candidate(3, Call([np.nan] * 12, texts=tuple("no numbers! ")), said="mute", unscored="coverage"),
            candidate(4, call(20, (3,)), error="RuntimeError: the kettle blew"),
        ],
        LowestCentroid(),
    )


def hostile():
    """Every place that another's words can reach has hostile ones."""
    words = HOSTILE
    calls = [
        call(
            30,
            (3, 4),
            words=words,
            tools=[use(*([words[at % len(words)]] * 3), words[at])],
            node=words[at],
            model=words[0],
        )
        for at in range(len(words))
    ]
    lost = candidate(1, call(10, (2,), words=words), error=" ".join(words))
    return selection_of([candidate(0, *calls, said=" ".join(words)), lost], LowestCentroid())


def large(rollouts=16, tokens=32_000, calls=8):
    """Many long rollouts whose texts do not compress to nothing."""
    rng = np.random.default_rng(7)
    words = np.array([f" w{number:x}" for number in rng.integers(0, 1 << 16, 5000)] + ["\n"] * 200)
    size = tokens // calls
    made = []
    for index in range(rollouts):
        parts = [
            Call(
                rng.exponential(0.3, size),
                texts=tuple(rng.choice(words, size)),
                tools=(use(f"tool_{at}"),),
            )
            for at in range(calls)
        ]
        made.append(candidate(index, *parts, said=f"answer {index}"))
    return selection_of(made, LowestCentroid())
