"""The class ``Payload``, the common form of all answers, and the table of its facts: what is read of each, and where.

A fact is something about a call beside its tokens: its model, the tokens of its prompt. Its row, ``fact(...)``, says
how it becomes one where several things tell it. All code that joins payloads goes through ``FACTS``, so that a new
fact is a field here, with its row, and a field of the same name in ``ec_agent.Call``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from ec_agent.capture.shapes.values import first
from ec_agent.numbers.trajectory import Call

if TYPE_CHECKING:
    from ec_agent.capture.shapes.alternatives import Alternative
    from ec_agent.capture.shapes.pieces import Said

Join = Callable[[Sequence[Any]], Any]
"""Makes one value of several, given in order."""


def known(value: Any) -> bool:
    """Tell whether a value says something. An empty text does not: Azure's first part names the model ``""``."""
    return value is not None and value != ""


def first_known(values: Iterable[Any]) -> Any:
    """Return the first value that says something, or ``None``."""
    return next(filter(known, values), None)


def last_known(values: Sequence[Any]) -> Any:
    """Return the last value that says something, or ``None``."""
    return first_known(reversed(values))


def total(values: Sequence[Any]) -> Any:
    """Return the sum of the numbers that are known, or ``None`` if none is."""
    numbers = [value for value in values if value is not None]
    return sum(numbers) if numbers else None


def most(values: Sequence[Any]) -> Any:
    """Return the largest number that is known and not 0, or ``None``."""
    return max(filter(None, values), default=None)


def none_of_them(values: Sequence[Any]) -> None:
    """Return ``None``: the fact is one of a single request, and the call made several."""


def text(value: Any) -> str | None:
    """Return a text that is not empty; ``None`` for anything else."""
    return value if isinstance(value, str) and value else None


def unchanged(value: Any) -> Any:
    """Return the value."""
    return value


@dataclass(frozen=True, slots=True)
class Fact:
    """How one fact is read and joined; a row of the table.

    Attributes:
        name: the field of ``Payload``.
        requests: how it is joined over several requests that one call made.
        parts: how it is joined over the parts of one streamed answer. ``None``: the last part's value counts.
        told: whether the answer tells it. The others are known from the request, or from how the answer came.
        keys: the keys it stands under, the first that is there counts, in whole answers and in the parts of streamed
            ones. Empty if its value is made of others, such as the usage; it is then read where they are.
        in_message: the keys it stands under in the ``response_metadata`` of a LangChain message.
        read: makes the value of what stands there, ``None`` if that cannot be one.
    """

    name: str
    requests: Join
    parts: Join | None
    told: bool
    keys: tuple[str, ...]
    in_message: tuple[str, ...]
    read: Callable[[Any], Any]

    def better(self, one: Any, other: Any) -> Any:
        """Join what two payloads tell of the same answer, the more trustworthy one first."""
        values = [getattr(one, self.name), getattr(other, self.name)]
        return any(values) if self.requests is any else first_known(values)

    def shared(self, whole: Any, own: Any) -> Any:
        """Join what was told for all answers to one request and for one of them. A count is that of all."""
        return getattr(whole, self.name) if self.requests is total else self.better(whole, own)


def fact(
    default: Any = None,
    *,
    requests: Join,
    parts: Join | None = first_known,
    told: bool = True,
    keys: tuple[str, ...] = (),
    in_message: tuple[str, ...] | None = None,
    read: Callable[[Any], Any] = text,
) -> Any:
    """Make a field of ``Payload`` that holds a fact; see ``Fact``. LangChain keeps most facts under the same keys."""
    row = requests, parts, told, keys, keys if in_message is None else in_message, read
    return field(default=default, metadata={"fact": row})


@dataclass(frozen=True, slots=True)
class Payload:
    """What one LLM call returned, reduced to what is needed. Values that were not reported are ``None``.

    Attributes:
        entries: one per generated token that came with logprobs: ``{"token", "logprob", "top_logprobs"}``.
        tokens: number of generated tokens, as the provider counts them.
        prompt_tokens: number of tokens in the prompt.
        cached_tokens: how many of the prompt's tokens the provider read from its cache.
        model: name of the model.
        cache_hit: whether an LLM cache of the client answered, in place of the model.
        top_k: how many candidates were asked for.
        constrained: whether the request forced the form of the answer by a grammar, a schema or a certain tool.
        partial: whether the answer is incomplete: it broke off, or its reader stopped reading.
        response: the provider's id of the answer.
        beside: number of tokens of other answers to the same request. They are only part of the costs.
        alternatives: all answers to the request, including this one, if there are several.
        mute: if no count of tokens came: the smallest number of tokens without an entry, from the number of parts.
        silent: whether a part came that has text, but no entry.
        unsure: for how many ``None`` in ``entries`` (tokens without logprobs) the place is a guess.
        said: function that returns what the answer says. It is called only if tokens are missing, to find their places.
    """

    entries: Sequence[Any] = ()
    tokens: int | None = None
    prompt_tokens: int | None = fact(requests=total, parts=last_known)
    cached_tokens: int | None = fact(requests=total, parts=last_known)
    model: str | None = fact(
        requests=first_known,
        parts=last_known,
        keys=("model", "model_version", "modelVersion"),
        in_message=("model_name", "model"),
        read=unchanged,
    )
    cache_hit: bool = fact(False, requests=any, parts=None)
    top_k: int | None = fact(requests=most, parts=None, told=False)
    constrained: bool = fact(False, requests=any, parts=None, told=False)
    partial: bool = fact(False, requests=any, parts=None, told=False)
    response: str | None = fact(requests=none_of_them, keys=("id",))
    beside: int = 0
    alternatives: Sequence[Alternative] = ()
    mute: int = 0
    silent: bool = False
    unsure: int = 0
    said: Callable[[], Said] | None = field(default=None, repr=False, compare=False)


FACTS = tuple(Fact(each.name, *each.metadata["fact"]) for each in fields(Payload) if "fact" in each.metadata)
"""The table of facts."""

READ = tuple(each for each in FACTS if each.keys)
"""Those that stand under keys of their own."""

ADDED_UP = tuple(each for each in FACTS if each.in_message and each.in_message != ("id",))
"""Those whose texts LangChain joins when it adds up the parts of a stream. It keeps an ``id`` once."""

OF_CALL = tuple(each.name for each in FACTS if each.name in {one.name for one in fields(Call)})
"""Names of those that are fields of ``ec_agent.Call``, too."""

_IN_MESSAGES = tuple(each for each in FACTS if each.in_message)


def told_by(answer: Any) -> dict[str, Any]:
    """Return the facts that stand under keys of their own in a whole answer, by the fields of ``Payload``."""
    return {each.name: each.read(first(answer, *each.keys)) for each in READ}


def told_by_parts(parts: Sequence[Any]) -> dict[str, Any]:
    """Return the facts that stand under keys of their own in the chunks of a streamed answer."""
    return {each.name: _over_parts(each, parts) for each in READ}


def _over_parts(each: Fact, parts: Sequence[Any]) -> Any:
    # Most parts of a stream tell the same, so that usually one part is looked at.
    last = each.parts in (None, last_known)
    values = (each.read(first(part, *each.keys)) for part in (reversed(parts) if last else parts))
    if last or each.parts is first_known or each.parts is None:
        return first_known(values)
    return each.parts(list(values))


def told_by_message(metadata: Any) -> dict[str, Any]:
    """Return the facts in the ``response_metadata`` of a LangChain message, by the fields of ``Payload``."""
    return {each.name: each.read(first(metadata, *each.in_message)) for each in _IN_MESSAGES}
