"""Which tools commit, that is, act on the world in a way that must not happen once per rollout."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from langchain_core.tools import BaseTool

from ec_agent.errors import ConfigError
from ec_agent.support.checks import repr_of

Effect = Literal["commit", "read_only"]
Commit = Sequence[str | BaseTool] | Literal["unknown"] | None
EFFECT = "ec_agent_effect"
ToolT = TypeVar("ToolT", bound=BaseTool)


def commit_tool(tool: ToolT) -> ToolT:
    """Mark a tool as one that commits: every rollout stops before it, and only the winner's call is carried out.

    Example:
        >>> @commit_tool
        ... @tool
        ... def send_email(to: str, text: str) -> str: ...

    Raises:
        ConfigError: given something that is not a tool.
    """
    marked: ToolT = _marked(tool, "commit")
    return marked


def read_only(tool: ToolT) -> ToolT:
    """Mark a tool as harmless: it may run in every rollout, and no ``UndeclaredToolWarning`` is given for it.

    With ``commit="unknown"``, only tools with this mark run inside rollouts.

    Raises:
        ConfigError: given something that is not a tool.
    """
    marked: ToolT = _marked(tool, "read_only")
    return marked


def _marked(tool: Any, effect: Effect) -> Any:
    if not isinstance(tool, BaseTool):
        name = {"commit": "commit_tool", "read_only": "read_only"}[effect]
        raise ConfigError(f"@{name} was given {repr_of(tool)}, which is not a tool; write it above @tool, not below")
    tool.metadata = {**(tool.metadata or {}), EFFECT: effect}  # metadata survives copies of the tool
    return tool


def effect_of(tool: BaseTool) -> Effect | None:
    """Return the mark of a tool, ``None`` without one."""
    effect: Effect | None = (tool.metadata or {}).get(EFFECT)
    return effect


@dataclass(frozen=True, slots=True)
class CommitPolicy:
    """Which tool calls a rollout stops at.

    Attributes:
        names: names of the tools listed in ``commit=``.
        unknown: ``commit="unknown"``: every tool that is not marked read-only commits.
        none: ``commit=[]``: the user says that no tool commits.
        tools: the known tools by name: those listed in ``commit=`` and those of the agent's tool nodes.
    """

    names: frozenset[str] = frozenset()
    unknown: bool = False
    none: bool = False
    tools: Mapping[str, BaseTool] = field(default_factory=dict)

    def commits(self, name: str, tool: BaseTool | None = None) -> bool:
        """Whether a call of the tool with this name commits. Without ``tool``, the known tool of that name counts."""
        if name in self.names:
            return True
        tool = tool or self.tools.get(name)
        effect = effect_of(tool) if tool is not None else None
        return effect == "commit" or (self.unknown and effect != "read_only")

    def declares(self, tool: BaseTool) -> bool:
        """Whether the user has said, by ``commit=`` or a mark, if this tool may run in every rollout."""
        return self.none or self.unknown or tool.name in self.names or effect_of(tool) is not None


def policy_of(commit: Any, found: Iterable[BaseTool]) -> CommitPolicy:
    """Turn the argument ``commit=`` into a policy.

    Args:
        commit: the argument as the user gave it.
        found: the tools found in the agent's tool nodes.

    Raises:
        ConfigError: ``commit`` is neither a list of tools or names, nor ``"unknown"``, nor ``None``; or it has a name
            that no tool of the agent has.
    """
    tools = {tool.name: tool for tool in found}
    unknown = isinstance(commit, str) and commit == "unknown"
    if commit is None or unknown:
        return CommitPolicy(unknown=unknown, tools=tools)
    if isinstance(commit, str | BaseTool | Mapping) or not isinstance(commit, Iterable):
        raise ConfigError(f"commit is {repr_of(commit)}; give a list of tools or tool names, 'unknown', or None")
    given = list(commit)
    for each in given:
        if isinstance(each, BaseTool):
            tools[each.name] = each
        elif not (isinstance(each, str) and each):
            raise ConfigError(f"commit has {repr_of(each)} in it; give tools or their names")
        elif tools and each not in tools:  # refused, for a mistyped name would let the action run once per rollout
            raise ConfigError(
                f"commit names {each!r}, which is none of the agent's tools ({', '.join(sorted(tools))}); correct the "
                "name, or give the tool itself if it is not in a ToolNode"
            )
    names = frozenset(each if isinstance(each, str) else each.name for each in given)
    return CommitPolicy(names=names, none=not given, tools=tools)
