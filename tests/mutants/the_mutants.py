"""Forty small errors in the heart of the package, one at a time: a suite that is any good fails at each."""

from __future__ import annotations

from typing import NamedTuple


class Mutant(NamedTuple):
    """An error.

    Attributes:
        file: the module, below ``ec_agent``.
        old: text that it has once.
        new: what stands there in its place.
        near: the tests that look at this place: patterns of files and folders below ``tests``, with blanks between
            them. They are tried before the whole suite.
    """

    file: str
    old: str
    new: str
    near: str


CHOOSING = "rollouts/test_receipt*.py rollouts/test_unscored.py rollouts/test_waves.py rollouts/test_c[ae]*.py"
WRITES = "rollouts/test_write_*.py rollouts/test_w*.py rollouts/test_reducers.py rollouts/test_[fmnpu]*.py"
COMMITS = "commits/test_gate.py rollouts/test_nested.py rollouts/test_commit_*.py rollouts/test_*_promotion.py commits"
RECORDER = "rollouts/test_cached_bill.py capture"

MUTANTS = (
    # Numbers.
    Mutant("numbers/phases.py", "(known >= theta_high)", "(known > theta_high)", "numbers"),
    Mutant("numbers/phases.py", "known <= theta_low", "known < theta_low", "numbers"),
    Mutant("numbers/phases.py", "twice_moment / 2 / mass", "twice_moment / mass", "numbers"),
    Mutant("numbers/phases.py", "masses.dot(2 * starts + masses)", "masses.dot(2 * starts)", "numbers"),
    Mutant("numbers/phases.py", "if theta_low < theta_high else", "if theta_low <= theta_high else", "numbers"),
    Mutant("numbers/phases.py", "first if places is None else places[first]", "first", "numbers"),
    Mutant("numbers/entropy.py", "~((total > 0.0) & (total < np.inf))", "~(total < np.inf)", "numbers"),
    Mutant("numbers/percentiles.py", "if rank >= count - len(kept):", "if True:", "numbers"),
    Mutant(
        "numbers/trajectory.py",
        "if len(self) == 0 or None in [call.tokens for call in self.calls]:",
        "if len(self) == 0:",
        "numbers",
    ),
    Mutant("numbers/trajectory.py", "1.0 - centroid", "centroid", "numbers"),
    # Choosing.
    Mutant("rollouts/choosing.py", "scored >= quorum", "scored > quorum", CHOOSING),
    Mutant("rollouts/choosing.py", "may_raise=among is None", "may_raise=True", CHOOSING),
    Mutant("rollouts/choosing.py", "abs(first - second)", "first - second", CHOOSING),
    Mutant("rollouts/choosing.py", "if s is None or s != s else", "if s is None else", CHOOSING),
    Mutant("rollouts/choosing.py", "(planned - len(begun)) * usual + sum(less)", "sum(less)", CHOOSING),
    Mutant("selectors/scoring.py", "(sign * scored[index], index)", "(sign * scored[index], -index)", "selectors"),
    Mutant(
        "selectors/voting.py",
        "lowest.get(answer, math.inf), first[answer], index",
        "first[answer], lowest.get(answer, math.inf), index",
        "selectors",
    ),
    Mutant("stopping/out_of_reach.py", "votes.leader > most or", "votes.leader >= most or", "stopping"),
    # Writes.
    Mutant("rollouts/writes.py", "if not self._running:  # otherwise", "if True:  # otherwise", WRITES),
    Mutant("rollouts/writes.py", "(1, len(self._order), 0) if pushed else ", "", WRITES),
    Mutant("rollouts/writes.py", "not passes and key not in reset:", "not passes:", WRITES),
    Mutant("rollouts/writes.py", "key in plain or (key in outer and overwrites(value))", "key in plain", WRITES),
    Mutant("rollouts/writes.py", "last.get(pair[0], place) == place", "True", WRITES),
    Mutant("rollouts/writes.py", "if message.id not in there", "", WRITES),
    # The gate.
    Mutant("commits/gate.py", "self._outer is not None and self._outer.commits(name, tool)", "False", COMMITS),
    Mutant("commits/gate.py", "if done is not None and use.call_id is None:", "if False:", COMMITS),
    Mutant("commits/gate.py", 'raise RolloutStop("commit")', "return", COMMITS),
    Mutant("commits/winner_gate.py", "misfit = planned.commits and use.misfits", "misfit = False", COMMITS),
    Mutant("commits/winner_gate.py", "return bool(asked)", "return False", COMMITS),
    # Committing.
    Mutant(
        "commits/at_most_once.py",
        '(last.intent["tool"], last.intent["args"]) != (what, repr(args))',
        'last.intent["tool"] != what',
        COMMITS,
    ),
    Mutant("commits/at_most_once.py", "except (GraphBubbleUp, PromotionError):", "except GraphBubbleUp:", COMMITS),
    Mutant("commits/journal.py", "INSERT OR IGNORE", "INSERT OR REPLACE", "commits"),
    # The recorder, and limits.
    Mutant("capture/recorder.py", "Batch(batch), outer or open_call()", "Batch(batch), outer", RECORDER),
    Mutant("capture/recorder.py", "call.done.generated - told_before", "call.done.generated", RECORDER),
    Mutant("capture/recorder.py", "all(other.cache_hit for", "any(other.cache_hit for", RECORDER),
    Mutant("rollouts/limits.py", "self._tokens >= self._limits.max_tokens", "False", "rollouts/test_limits.py"),
    # Shapes.
    Mutant("capture/shapes/tokens.py", "& (largest < CERTAIN) ", "", "capture"),
    Mutant("capture/shapes/tokens.py", "SENTINEL < value <= ROUNDING", "value <= ROUNDING", "capture"),
    Mutant("capture/shapes/usage.py", "in (entries, entries + 1)", "== entries", "capture"),
    Mutant("capture/shapes/usage.py", "return tokens + thought", "return tokens", "capture"),
)
