"""TextWorld: games are compiled, won by their walkthroughs, and by nothing less."""

from __future__ import annotations

import re
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module

import pytest
from gold import played
from published import COMPILED, needs

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load
from ec_agent.evaluation.tasks import Task

needs("textworld", why=COMPILED)


@pytest.fixture(scope="module")
def games():
    return load("textworld", 2)


def test_a_walkthrough_wins(games):
    for task in games:
        assert isinstance(task, Task)
        assert played(task, task.gold)
        assert not played(task, task.gold[:-1])
        assert not played(task, [])


def test_each_rollout_starts_anew_and_ends_when_won(games):
    task = games[0]
    with task.environment() as one, task.environment() as other:
        for _, args in task.gold:
            said = one.act(args["command"])
        assert "point" in said
        assert (one.won, one.done, other.won, other.done) == (True, True, False, False)
        assert one.act("look") == "The game is over."
        assert other.act("look") != "The game is over."


def test_rollouts_play_side_by_side(games):
    def play(task):
        with task.environment() as game:
            for _, args in task.gold:
                game.act(args["command"])
            return game.won

    import_module("textworld.logic").GameLogic.parse.cache_clear()  # else what other tests played is not parsed again
    switching = sys.getswitchinterval()
    sys.setswitchinterval(1e-4)
    try:
        with ThreadPoolExecutor(8) as threads:
            assert all(threads.map(play, games * 4))
    finally:
        sys.setswitchinterval(switching)


def test_the_same_every_time(games):
    again = load("textworld", 1, seed=1)[0]
    assert (again.id, again.input, again.gold) == (games[1].id, games[1].input, games[1].gold)


def test_compiled_once(games, tmp_path, monkeypatch):
    monkeypatch.setenv("EC_AGENT_CACHE", str(tmp_path))
    with games[0].environment():
        pass
    (file,) = tmp_path.glob("textworld-1.7.0/textworld-3-6-4-0/game.z8")
    written = file.stat().st_mtime_ns
    with games[0].environment():
        pass
    assert file.stat().st_mtime_ns == written
    assert [path.name for path in file.parent.parent.iterdir()] == ["textworld-3-6-4-0"]


@pytest.mark.whole_form("it compiles forty games; two are compiled and won in the short form")
def test_a_command_of_any_walkthrough_is_one_that_a_model_may_say(games):
    pattern = games[0].tools[0].args_schema["properties"]["command"]["pattern"]
    said = [args["command"] for task in load("textworld:1-4-2", 40) for _, args in task.gold]
    assert len(said) == 80
    assert [command for command in said if not re.fullmatch(pattern, command)] == []
    assert any("'" in command for command in said)


def test_what_a_terminal_would_show_in_its_status_line_is_left_out(games):
    with games[0].environment() as game:
        assert not re.search(r"[>]|\d/\d|  ", game.act("look"))


def test_the_size_of_games():
    (task,) = load("textworld:1-4-2", 1, seed=5)
    assert (task.id, task.size, len(task.gold)) == ("textworld-1-4-2-5", (1, 4, 2), 2)
    assert played(task, task.gold)


@pytest.mark.parametrize("part", ["coin", "1-4", "0-4-2", "1-4-200", "1-4-2-3"])
def test_no_other_parts(part):
    with pytest.raises(ConfigError, match="write textworld, or textworld:ROOMS-THINGS-COMMANDS"):
        load(f"textworld:{part}")
