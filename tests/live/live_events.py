"""Events as best_of_n sends them, made by hand."""

from __future__ import annotations

NASTY = "down [bold]\x1b[31m\nand \u202eout"  # markup, a colour, another line, text turned round


def event(kind, index=None, **more):
    about = {} if index is None else {"index": index}
    return {"type": f"ec_agent.{kind}", "question": "q", "time": 1000.0, **about, **more}


def started(index, n=None, **more):
    return event("rollout.started", index, **{"n": n, "round": 0, "acting": False, **more})


def asks(index, **more):
    return event(
        "rollout.call", index, state="started", **{"call": f"open {index}", "model": "gpt", "node": "a", **more}
    )


def answered(index, calls, tokens, entropies, generated=None, **more):
    """A call that has come back: running totals, and its own entropies."""
    own = len(entropies) if generated is None else generated
    said = {"state": "ended", "answered": True, "model": "gpt", "node": "a", "seconds": 0.5}
    numbers = {"calls": calls, "tokens": tokens, "generated": own, "entropies": entropies}
    return event("rollout.call", index, **{**said, **numbers, "call": f"open {index}", **more})


def tool(index, state="started", name="look_up", run="r"):
    return event("rollout.tool", index, state=state, tool=name, run=run)


def finished(index, error=None, seconds=2.0, **more):
    return event("rollout.finished", index, error=error, seconds=seconds, **more)


def scored(index, centroid=0.5, reason=None, **more):
    return event("rollout.scored", index, score=centroid, centroid=centroid, reason=reason, **more)


def selector_call(call, calls=None, tokens=None, model="judge", **more):
    """The selector asks; with ``calls``, it has its answer."""
    ended = {} if calls is None else {"answered": True, "calls": calls, "tokens": tokens}
    return event(
        "selector.call", state="started" if calls is None else "ended", call=call, model=model, **ended, **more
    )


def selection(winner, n, margin=0.1, **more):
    candidates = [{"index": i, "centroid": 0.5} for i in range(n)]
    receipt = {"winner": winner, "candidates": candidates, "margin": margin, "selector": "lowest_centroid"}
    return event("selection", selection=receipt, **more)


def whole(n, question="q"):
    """A question from its beginning to its end."""
    events = []
    for index in range(n):
        events += [started(index, n), asks(index), answered(index, 1, 3, [0.1, 1.0, 0.2]), finished(index)]
    events += [scored(index, 0.1 * index) for index in range(n)]
    return [{**each, "question": question} for each in [*events, selection(0, n)]]
