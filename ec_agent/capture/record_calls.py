"""``record_calls``: records the LLM calls of a block of code."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from ec_agent.capture.filters import CallPredicate
from ec_agent.capture.installing import recording, set_here
from ec_agent.capture.kept import Kept
from ec_agent.capture.recorder import Recorder, current_recorder, listening
from ec_agent.capture.request_params import RequestSettings
from ec_agent.numbers.signals import ENTROPY
from ec_agent.support.checks import flag, whole


@contextmanager
def record_calls(
    *,
    signals: Sequence[str] = (ENTROPY,),
    calls: CallPredicate | None = None,
    keep_text: bool = False,
    keep_candidates: int = 0,
    request_logprobs: bool = False,
) -> Iterator[Recorder]:
    """Record the LLM calls made inside the ``with`` block, through LangChain or an ``openai`` client.

    If the block is inside a rollout or another such block, that one records the calls, too.

    Args:
        signals: names of the per-token signals to keep. The entropy is always kept.
        calls: which calls count: a ``CallFilter`` or a function from ``CallInfo`` to bool. ``None`` counts all.
        keep_text: whether to keep the texts of tokens, and the arguments and results of tools.
        keep_candidates: how many of the likeliest candidates of each token to keep.
        request_logprobs: whether to ask for logprobs in requests of ``openai`` clients that do not. Inside a rollout,
            a selector or another such block, the settings of that one hold instead.

    Raises:
        ConfigError: an argument has a wrong value.

    Yields:
        A recorder. Its ``trajectory()`` returns the calls recorded so far.

    Example:
        >>> with record_calls() as recorder:
        ...     client.chat.completions.create(..., logprobs=True, top_logprobs=20)
        >>> recorder.trajectory().centroid()
    """
    flag("keep_text", keep_text)
    flag("request_logprobs", request_logprobs)
    keep_candidates = whole("keep_candidates", keep_candidates, 0)
    requests, kept = RequestSettings(logprobs=request_logprobs), Kept(keep_text, keep_candidates)
    recorder = Recorder(signals=signals, calls=calls, kept=kept, requests=requests)
    alone = current_recorder.get() is None
    with recording(recorder) if alone else set_here((listening, (*listening.get(), recorder))):
        yield recorder
