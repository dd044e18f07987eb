"""``textworld``: generated text games, played with one tool (textworld 1.7.0, MIT).

**The example of a confounded measure.** An episode ends when the game is won, so successes are shorter than failures,
and a selector that merely prefers short rollouts, or a centroid that moves with the length, looks like one that knows
what is right. Read its results beside the confound panel only.
"""

from __future__ import annotations

import re
import tempfile
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters.common import Call, environment_of, package, tool_from
from ec_agent.evaluation.tasks import BaseTask, Outcome, Task
from ec_agent.local.fetch import cache_dir

REQUIREMENT = "textworld==1.7.0"
DEFAULT_COUNT = 50
_one_at_a_time = threading.Lock()  # TextWorld parses all its logic with one parser of the whole process


class Game:
    """A game in play.

    Attributes:
        won: whether it was won.
        done: whether it is over.
    """

    def __init__(self, environment: Any) -> None:
        self._environment = environment
        with _one_at_a_time:
            self._environment.reset()
        self.won = self.done = False

    def act(self, command: str) -> str:
        """What the game says to a command."""
        if self.done:
            return "The game is over."
        with _one_at_a_time:
            state, _, self.done = self._environment.step(command)
        self.won = bool(state.won)
        # After the game's prompt comes what a terminal would show in its status line.
        return re.sub(r"\s*\n\s*", "\n", state.feedback.split("\n>")[0]).strip()


def _act(command: str = "") -> str:
    game: Game = environment_of(Game)
    return game.act(str(command).strip() or "look")


act = tool_from(
    _act,
    "act",
    "Say a command to the game.",
    {
        "type": "object",
        "properties": {
            "command": {
                "type": "string",
                "description": "such as look, go east, open box, take key from box",
                "pattern": "^[A-Za-z][A-Za-z0-9' -]{1,60}$",
            }
        },
        "required": ["command"],
    },
)


class GameTask(BaseTask):
    """One game, compiled when it is first played (some seconds) and kept in the cache folder.

    Attributes:
        gold: a walkthrough.
        size: rooms, things and commands of the walkthrough that were asked for.
    """

    tools = (act,)

    def __init__(self, id: str, game: Any, options: Any, size: tuple[int, int, int]) -> None:
        super().__init__(id, game.objective)
        self._game, self._options, self.size = game, options, size
        self.gold: list[Call] = [("act", {"command": command}) for command in game.metadata["walkthrough"]]

    @contextmanager
    def _played(self) -> Iterator[Game]:
        textworld = package("textworld")
        file = str(self._file())
        with _one_at_a_time:
            environment = textworld.start(file, textworld.EnvInfos(won=True, feedback=True))
        try:
            yield Game(environment)
        finally:
            environment.close()

    def environment(self) -> AbstractContextManager[Game]:
        """The game from its start."""
        return self._played()

    def verdict(self, outcome: Outcome) -> bool:
        """Whether the game was won."""
        game: Game = outcome.environment
        return game.won

    def _file(self) -> Path:
        folder = cache_dir() / REQUIREMENT.replace("==", "-") / self.id
        with _one_at_a_time:
            if not folder.is_dir():
                folder.parent.mkdir(parents=True, exist_ok=True)
                # A folder of its own and a rename: another process may be compiling the same game.
                with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".compile-") as made:
                    self._options.path = str(Path(made) / "game" / "game.z8")
                    (Path(made) / "game").mkdir()
                    package("textworld.generator").compile_game(self._game, self._options)
                    try:
                        (Path(made) / "game").rename(folder)
                    except OSError:
                        if not folder.is_dir():
                            raise
        return folder / "game.z8"


def load(
    part: str, limit: int | None, *, seed: int = 0, rooms: int = 3, objects: int = 6, quest_length: int = 4
) -> list[Task]:
    """Games, each from a seed of its own.

    Args:
        part: none, or the three numbers in its place: ``1-4-2`` is ``rooms=1, objects=4, quest_length=2``.
        limit: how many; ``None`` is 50.
        seed: of the first game; the next ones count up.
        rooms: rooms of a game.
        objects: things in it.
        quest_length: commands that a walkthrough has.

    Raises:
        ConfigError: an argument is wrong, or the package is not installed.
    """
    if part:
        if (asked := re.fullmatch(r"([1-9]\d?)-([1-9]\d?)-([1-9]\d?)", part)) is None:
            raise ConfigError(
                f"textworld has no part {part!r}; write textworld, or textworld:ROOMS-THINGS-COMMANDS, such as "
                "textworld:1-4-2"
            )
        rooms, objects, quest_length = map(int, asked.groups())
    textworld = package("textworld")
    size = (rooms, objects, quest_length)
    tasks: list[Task] = []
    for number in range(seed, seed + (limit or DEFAULT_COUNT)):
        options = textworld.GameOptions()
        options.seeds, options.nb_rooms, options.nb_objects = number, rooms, objects
        options.quest_length = quest_length
        game = package("textworld.generator").make_game(options)
        tasks.append(GameTask("-".join(map(str, ("textworld", *size, number))), game, options, size))
    return tasks
