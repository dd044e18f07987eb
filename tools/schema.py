"""Arguments whose text a model is held to, where its sampling can be."""

from __future__ import annotations

from typing import Any

from pydantic import Field, WithJsonSchema


def shaped(pattern: str, description: str) -> tuple[Any, Any]:
    """Annotations of a ``str`` argument: the schema has the pattern, and what does not fit it is not refused.

    ``Field(json_schema_extra=...)`` would say the same, but LangChain's ``@tool`` drops it.

    Args:
        pattern: a regular expression for the whole text.
        description: what the model is told of the argument.
    """
    schema = {"type": "string", "pattern": pattern, "description": description}
    return Field(description=description), WithJsonSchema(schema)
