"""All ready protocols by name. Nothing but names is imported until a protocol is used, so ``--help`` stays fast."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, cast

if TYPE_CHECKING:
    from ec_agent.prompted.protocol import ToolProtocol

ProtocolName = Literal["json_schema", "hermes"]
"""The names of the ready protocols, for type checkers: the names in ``PROTOCOLS``, in their order."""

PROTOCOLS: Mapping[ProtocolName, str] = MappingProxyType(
    {
        "json_schema": "ec_agent.prompted.json_schema:JsonSchemaProtocol",
        "hermes": "ec_agent.prompted.hermes:HermesProtocol",
    }
)
"""Maps the name of each protocol to ``module:class``, in the order in which the doctor tries them."""


@cache
def protocol_named(name: ProtocolName) -> ToolProtocol:
    """Return the protocol with this name, with its default settings.

    Args:
        name: a name in ``PROTOCOLS``.
    """
    module, _, kind = PROTOCOLS[name].partition(":")
    return cast("ToolProtocol", getattr(import_module(module), kind)())
