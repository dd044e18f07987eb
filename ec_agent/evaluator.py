"""Compute the reward of a finished run, outside the node: an evaluator with the signature LangSmith expects.

It needs NumPy and no other package.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ec_agent.capture.shapes import (
    Payload,
    Stream,
    Streams,
    call_of,
    get,
    is_ai,
    is_response,
    payload_of_message,
    payload_of_response,
    plain_message,
)
from ec_agent.capture.shapes.response_bytes import read_json
from ec_agent.capture.shapes.unread_logprobs import logprobs_under, unread
from ec_agent.errors import LogprobsError
from ec_agent.numbers.coverage import MIN_COVERAGE, unscored
from ec_agent.numbers.phases import HEPConfig
from ec_agent.numbers.signals import ENTROPY, SURPRISAL, check_signal
from ec_agent.numbers.trajectory import Call, Trajectory, reward
from ec_agent.support.checks import checked, instance, share, text
from ec_agent.support.number_formats import percent

KEPT = (ENTROPY, SURPRISAL)
"""The signals that can be read from saved payloads."""


@dataclass(frozen=True, slots=True)
class CentroidEvaluator:
    """Scores a run by ``1 - centroid``. LangSmith and openevals can call it as an evaluator.

    Attributes:
        config: settings of the High Entropy Phases.
        key: name of the score in the result.
        min_coverage: smallest share of generated tokens, 0 to 1, that must have the signal; below it a run is not
            scored.
        signal: ``"entropy"``; or ``"surprisal"`` for runs that have logprobs of the sampled tokens alone. Rewards of
            different signals cannot be compared.

    Example:
        >>> CentroidEvaluator()(inputs=..., outputs={"messages": [...]})
        {'key': 'entropy_centroid_reward', 'score': 0.71, 'comment': '...'}
    """

    config: HEPConfig = field(default_factory=HEPConfig)
    key: str = "entropy_centroid_reward"
    min_coverage: float = MIN_COVERAGE
    signal: str = ENTROPY

    def __post_init__(self) -> None:
        check_signal(self.signal)
        checked(self, "config", instance, HEPConfig, "HEPConfig(...)")
        checked(self, "key", text)
        checked(self, "min_coverage", share)

    def __call__(
        self, *, inputs: Any = None, outputs: Any, reference_outputs: Any = None, **kwargs: Any
    ) -> dict[str, Any]:
        """Score one run.

        Args:
            inputs: not used: the reward needs only the model's own output.
            outputs: an ``ec_agent.Trajectory``; or messages with their logprobs in
                ``response_metadata`` (a list, or a state with a ``messages`` key); or an OpenAI response, or
                a list of them.
            reference_outputs: not used.
            **kwargs: not used.

        Returns:
            ``{"key", "score", "comment"}``. The score is from 0 to 1, or ``None`` if the run cannot be scored; then
            the comment says why.

        Raises:
            LogprobsError: ``outputs`` has none of these forms.
        """
        trajectory = trajectory_of(outputs)
        coverage = trajectory.share(self.signal)
        covered = "unknown" if coverage is None else percent(coverage)
        score = None
        if unscored(trajectory, self.signal, self.min_coverage) is None:
            score = reward(trajectory, self.config, self.signal)
            comment = (
                f"1 - {self.signal} centroid over {len(trajectory)} tokens of {len(trajectory.calls)} LLM calls, "
                f"{len(trajectory.phases(self.config, self.signal).starts)} phases, coverage {covered}"
            )
            if trajectory.unplaced_tokens:
                comment += f"; {trajectory.unplaced_tokens} tokens without logprobs have no certain place"
        elif trajectory.count(self.signal) == 0:
            comment = f"not scored: {_lacking(trajectory, outputs)}"
        else:
            comment = f"not scored: coverage {covered} is below min_coverage {percent(self.min_coverage)}"
        return {"key": self.key, "score": score, "comment": comment}


def _lacking(trajectory: Trajectory, outputs: Any) -> str:
    bare = any(call.capability == "sampled" for call in trajectory.calls)
    path = None if bare or isinstance(outputs, Trajectory) else logprobs_under(outputs)
    if path is not None:
        return unread(path)
    lacking = "no candidates beside the sampled tokens" if bare else "no logprobs"
    return (
        f"{lacking}; ask the model for them with top_logprobs=20 (best_of_n takes them out of its output unless "
        "keep_logprobs=True)"
    )


def trajectory_of(source: Any) -> Trajectory:
    """Read the trajectory of a run from messages, a state with messages, or OpenAI responses.

    Args:
        source: one of these:

            - an ``ec_agent.Trajectory``, which is returned as it is;
            - a list of messages, or a mapping or object with ``messages``; each AI message is one call, in order.
              LangChain's serialized forms of messages count as well;
            - an OpenAI response: the object, its JSON, or the JSON's bytes (``ec-agent[fast]`` reads bytes several
              times faster);
            - a list of responses, or of the chunks of streamed responses.

            Where an answer has several choices, the first is taken, as agents do.

    Raises:
        LogprobsError: ``source`` is none of these.
    """
    if isinstance(source, Trajectory):
        return source
    if isinstance(source, bytes):
        read = read_json(source, KEPT)
        return Trajectory([read]) if isinstance(read, Call) else trajectory_of(read)
    held = get(source, "trajectory")
    if isinstance(held, Trajectory):
        return held
    messages = get(source, "messages")
    if isinstance(messages, Sequence) and not isinstance(messages, str):
        return _calls(messages)
    if is_response(source):
        return _calls([source])
    if isinstance(source, Sequence) and not isinstance(source, str | bytes):
        return _calls(source)
    raise LogprobsError(
        f"cannot find LLM calls in {type(source).__name__}; give a Trajectory, messages, a state with a "
        "'messages' key, or OpenAI responses"
    )


def _calls(items: Sequence[Any]) -> Trajectory:
    streams = Streams()
    found: list[Payload | Call | Stream] = []
    for each in items:
        item = plain_message(each)
        if isinstance(item, bytes):
            found.extend(trajectory_of(item).calls)
        elif (placed := streams.place(item)) is not None:
            stream, begins = placed
            found.extend([stream] if begins else [])
        elif is_response(item):
            found.append(payload_of_response(item))
        elif is_ai(item) or get(item, "role") == "assistant":
            found.append(payload_of_message(item))
        elif get(item, "type") is None and get(item, "role") is None:
            raise LogprobsError(
                f"{type(item).__name__} is neither a message nor an OpenAI response; give messages or responses"
            )
    return Trajectory([call for each in found for call in _calls_of(each)])


def _calls_of(found: Payload | Call | Stream) -> list[Call]:
    if isinstance(found, Call):
        return [found]
    if not isinstance(found, Stream):
        return [call_of(found, KEPT)]
    if found.doubtful:
        return [call_of(payload_of_response(part), KEPT) for part in found.parts]
    return [] if found.empty else [call_of(found.payloads()[0], KEPT)]
