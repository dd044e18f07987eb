"""Which tools commit: what is named, what is marked, and what of that is refused."""

from __future__ import annotations

import pytest
from langchain_core.tools import tool
from naming import named

from ec_agent import ConfigError, commit_tool, read_only
from ec_agent.commits.declared_tools import effect_of, policy_of


def make(name):
    def act(x: int) -> str:
        """Act."""
        return str(x)

    return tool(name)(act)


SEND, PAY, SEARCH = make("send"), make("pay"), make("search")
FOUND = [SEND, PAY, SEARCH]


@pytest.mark.parametrize("commit", [["send"], ("send",), {"send"}, [SEND], [SEND, "send"]])
def test_a_tool_is_given_by_name_or_itself(commit):
    policy = policy_of(commit, FOUND)
    assert [policy.commits(name) for name in ("send", "pay", "search")] == [True, False, False]


@pytest.mark.parametrize("commit", [None, [], ()])
def test_without_a_name_or_a_mark_nothing_commits(commit):
    assert not any(policy_of(commit, FOUND).commits(each.name, each) for each in FOUND)


def test_a_name_counts_for_any_tool_of_that_name():
    assert policy_of(["send"], FOUND).commits("send", make("send"))


def test_a_mark_needs_no_name():
    marked = commit_tool(make("wire"))
    assert effect_of(marked) == "commit"
    assert policy_of(None, [marked]).commits("wire")
    assert policy_of(None, []).commits("wire", marked)
    assert policy_of(["send"], [*FOUND, marked]).commits("wire")


def test_a_mark_changes_nothing_else_of_the_tool():
    plain = make("wire")
    plain.metadata = {"team": "post"}
    marked = read_only(plain)
    assert marked is plain
    assert marked.metadata["team"] == "post"
    assert effect_of(marked) == "read_only"
    assert marked.invoke({"x": 3}) == "3"


def test_the_later_mark_stands():
    assert effect_of(read_only(commit_tool(make("wire")))) == "read_only"


def test_under_unknown_only_read_only_tools_run():
    safe, dangerous = read_only(make("look")), commit_tool(make("wire"))
    policy = policy_of("unknown", [safe, dangerous, SEND])
    assert [policy.commits(name) for name in ("look", "wire", "send", "never seen")] == [False, True, True, True]


def test_a_name_in_commit_overrides_read_only():
    assert policy_of(["look"], [read_only(make("look"))]).commits("look")


@pytest.mark.parametrize("name", ["sned", "Send", "send ", "messages"])
def test_an_unknown_tool_name_is_an_error(name):
    with pytest.raises(ConfigError, match=rf"{name!r}, which is none of the agent's tools \(pay, search, send\)"):
        policy_of([name], FOUND)


def test_a_tool_outside_tool_nodes_may_be_given():
    assert policy_of([make("wire")], FOUND).commits("wire")


@pytest.mark.parametrize("commit", ["send", "Unknown", SEND, {"send": True}, 3, True, 1.5, object()], ids=named)
def test_anything_but_a_list_is_refused(commit):
    with pytest.raises(ConfigError, match="give a list of tools or tool names, 'unknown', or None"):
        policy_of(commit, FOUND)


@pytest.mark.parametrize("each", [None, "", 3, len, make, type(SEND)], ids=named)
def test_anything_but_a_tool_in_it_is_refused(each):
    with pytest.raises(ConfigError, match="in it; give tools or their names"):
        policy_of(["send", each], FOUND)


@pytest.mark.parametrize("mark", [commit_tool, read_only])
@pytest.mark.parametrize("given", [make, "send", None, type(SEND)], ids=["function", "name", "none", "class"])
def test_a_mark_on_a_function_says_where_it_belongs(mark, given):
    with pytest.raises(ConfigError, match=rf"@{mark.__name__} was given .*write it above @tool, not below"):
        mark(given)


def test_a_mark_below_tool_is_refused_at_once():
    with pytest.raises(ConfigError, match="above @tool"):

        @tool
        @commit_tool
        def send(to: str) -> str:
            """Send."""
            return to
