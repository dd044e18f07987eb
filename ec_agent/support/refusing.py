"""Pydantic models whose wrong arguments are errors of ours, as everywhere else."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AllowInfNan, BeforeValidator, ValidationError

from ec_agent.errors import ConfigError
from ec_agent.support.checks import repr_of


class Refusing:
    """To be written before the model in a class's bases.

    Raises:
        ConfigError: from the constructor: an argument has a value it cannot have, or is not known.
    """

    def __init__(self, *args: Any, **data: Any) -> None:
        try:
            super().__init__(*args, **data)
        except ValidationError as error:
            raise refused(type(self).__name__, error) from error
        except (AttributeError, TypeError) as error:  # of a field that is a model, and was given something odd
            raise ConfigError(f"{type(self).__name__} cannot be made ({error}); {_SEE}") from error


_SEE = "see its docstring for what each argument takes"


def refused(whose: str, error: ValidationError) -> ConfigError:
    """What pydantic says, in our words: the first argument that it refuses, and why."""
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(map(str, first["loc"][:1])) or "an argument"
    return ConfigError(f"{name} of {whose} is {repr_of(first['input'])}: {first['msg']}; {_SEE}")


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("True and False are no numbers here")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth), AllowInfNan(False)]
