"""Our wrapper is on a method once, whatever other packages put on it, take off again, or put elsewhere."""

from __future__ import annotations

import functools
import threading

import pytest

from ec_agent import ConfigError
from ec_agent.insides.patching import put_on


class Theirs:
    """A package that wraps a method, and takes its wrapper off by putting back what it found there."""

    def __init__(self, owner, log, *, tells=True):
        self.owner, self.log, self.tells = owner, log, tells
        self.found = owner.ask  # also where a class above has it

    def on(self):
        found, log = self.found, self.log

        def wrapper(self, what):
            log.append("theirs")
            return found(self, what)

        self.owner.ask = functools.wraps(found)(wrapper) if self.tells else wrapper

    def off(self):
        self.owner.ask = self.found


@pytest.fixture
def world():
    log = []

    class Client:
        def ask(self, what):
            return f"said {what}"

    class Special(Client):
        pass

    def wrap(ask):
        @functools.wraps(ask)
        def ours(self, what):
            log.append("ours")
            return ask(self, what)

        return ours

    return Client, Special, log, lambda **more: put_on(Client, {"ask": wrap}, **more)


def heard(client, log):
    log.clear()
    assert client.ask("it") == "said it"
    return sorted(log)


def test_wrapping_twice_wraps_once(world):
    client, _, log, ours = world
    threads = [threading.Thread(target=ours) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert heard(client(), log) == ["ours"]


@pytest.mark.parametrize("tells", [True, False])
def test_an_earlier_wrapper_stays_inside(world, tells):
    client, _, log, ours = world
    theirs = Theirs(client, log, tells=tells)
    theirs.on()
    ours()
    ours()
    assert heard(client(), log) == ["ours", "theirs"]


@pytest.mark.parametrize("tells", [True, False])
def test_a_later_wrapper_stays_outside(world, tells):
    client, _, log, ours = world
    ours()
    Theirs(client, log, tells=tells).on()
    ours()
    assert heard(client(), log) == ["ours", "theirs"]


def test_a_removed_wrapper_is_put_on_again(world):
    client, _, log, ours = world
    theirs = Theirs(client, log)
    theirs.on()
    ours()
    theirs.off()
    assert heard(client(), log) == []
    ours()
    assert heard(client(), log) == ["ours"]
    theirs.on()  # again, around what it found in the beginning
    ours()
    assert heard(client(), log) == ["ours", "theirs"]


def test_a_wrapper_on_a_subclass_is_wrapped_there(world):
    client, special, log, ours = world
    theirs = Theirs(special, log)
    theirs.on()
    ours(subclasses=True)
    ours(subclasses=True)
    assert heard(special(), log) == ["ours", "theirs"]
    assert heard(client(), log) == ["ours"]
    theirs.off()
    ours(subclasses=True)
    assert heard(special(), log) == ["ours"]


def test_a_wrapper_on_a_subclass_of_a_subclass_too(world):
    _, special, log, ours = world

    class Further(special):
        pass

    Theirs(Further, log).on()
    ours(subclasses=True)
    assert heard(Further(), log) == ["ours", "theirs"]


def test_subclasses_are_left_alone_unless_asked_for(world):
    client, special, log, ours = world
    Theirs(special, log).on()
    ours()
    assert heard(special(), log) == ["theirs"]
    assert heard(client(), log) == ["ours"]


def test_an_override_that_calls_super_is_left_alone(world):
    client, _, log, ours = world

    class Own(client):
        def ask(self, what):
            return super().ask(what)

    ours(subclasses=True)
    assert heard(Own(), log) == ["ours"]


def test_each_of_several_methods_is_wrapped_and_put_on_again_where_it_is_missing(world):
    client, special, log, _ = world
    client.answer = bare = lambda self: "42"
    special.answer = functools.wraps(bare)(lambda self: bare(self))

    def wrap(name):
        def wrapped(function):
            return functools.wraps(function)(lambda self, *given: (log.append(name), function(self, *given))[1])

        return wrapped

    wraps = {name: wrap(name) for name in ("ask", "answer")}
    put_on(client, wraps, subclasses=True)
    client.answer = bare  # somebody restores one of them
    put_on(client, wraps, subclasses=True)
    for each in (client(), special()):
        log.clear()
        assert (each.ask("it"), each.answer()) == ("said it", "42")
        assert log == ["ask", "answer"]


def test_a_method_that_is_gone_is_named(world):
    with pytest.raises(ConfigError, match=r"Client has no answer\(\), which ec_agent has to wrap"):
        put_on(world[0], {"ask": str, "answer": lambda function: function})
