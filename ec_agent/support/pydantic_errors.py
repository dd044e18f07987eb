"""Turns the validation errors of pydantic models into our ``ConfigError``, so that users catch one kind of error."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AllowInfNan, BeforeValidator, ValidationError

from ec_agent.errors import ConfigError
from ec_agent.support.checks import repr_of


class Refusing:
    """Base class for pydantic models, named before the model class: ``class Mine(Refusing, BaseChatModel)``.

    Raises:
        ConfigError: from the constructor: an argument has a wrong value or is unknown.
    """

    def __init__(self, *args: Any, **data: Any) -> None:
        try:
            super().__init__(*args, **data)
        except ValidationError as error:
            raise refused(type(self).__name__, error) from error
        except (AttributeError, TypeError) as error:  # validators of LangChain's models raise these for odd values
            raise ConfigError(f"{type(self).__name__} cannot be made ({error}); {_SEE}") from error


_SEE = "see its docstring for what each argument takes"


def refused(whose: str, error: ValidationError) -> ConfigError:
    """Make a ``ConfigError`` of pydantic's error: the first argument that it refuses, and why.

    Args:
        whose: name of the class whose argument it is.
        error: pydantic's error.
    """
    first = error.errors(include_url=False, include_context=False)[0]
    name = ".".join(map(str, first["loc"][:1])) or "an argument"
    return ConfigError(f"{name} of {whose} is {repr_of(first['input'])}: {first['msg']}; {_SEE}")


def _no_truth(value: Any) -> Any:
    if isinstance(value, bool):
        raise ValueError("give a number, not True or False")
    return value


Whole = Annotated[int, BeforeValidator(_no_truth)]
Number = Annotated[float, BeforeValidator(_no_truth), AllowInfNan(False)]
