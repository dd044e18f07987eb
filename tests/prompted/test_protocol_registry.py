"""A protocol is named in the registry alone; every place that takes or offers a name takes it from there."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import get_args

import pytest

from ec_agent.prompted import ToolProtocol
from ec_agent.prompted.registry import PROTOCOLS, ProtocolName, protocol_named

ONE_MORE = """
    from types import MappingProxyType
    from typing import Literal, get_args
    from ec_agent.prompted import registry

    registry.ProtocolName = Literal[(*get_args(registry.ProtocolName), "pythonic")]
    registry.PROTOCOLS = MappingProxyType({**registry.PROTOCOLS, "pythonic": "pythonic:Pythonic"})
"""
PYTHONIC = """
    from ec_agent.prompted import HermesProtocol

    class Pythonic(HermesProtocol):
        pass
"""
PLACES = {
    "the chat model": """
        from langchain_core.language_models import FakeListChatModel
        from ec_agent.prompted import PromptedToolModel

        model = PromptedToolModel(model=FakeListChatModel(responses=["yes"]), protocol="pythonic")
        assert type(model._spoken).__name__ == "Pythonic"
    """,
    "a model of an evaluation": """
        from ec_agent.evaluation.model import ModelSettings

        model = ModelSettings(name="big", base_url="http://127.0.0.1:9/v1", tools="pythonic").build()
        assert model.protocol == "pythonic"
    """,
    "the command line": """
        from ec_agent.cli.app import app

        (tools,) = (each for each in app.commands["eval"].params if each.name == "tools")
        assert list(tools.type.choices) == ["native", "json_schema", "hermes", "pythonic"]
    """,
    "the doctor": """
        from types import SimpleNamespace as Bare
        from ec_agent.doctor.trying_advice import Known, _versions

        plain = Bare(scored={20: None}, answers={}, best=None, top=20, first=20)
        model = Bare(arguments=lambda **settings: (settings, {}))
        tried = [way.prompted for way, _ in _versions(model, Known(plain, {}, {}))]
        assert [name for name in dict.fromkeys(tried) if name] == ["json_schema", "hermes", "pythonic"], tried
    """,
}


@pytest.mark.members(1)
@pytest.mark.parametrize("place", PLACES)
def test_one_more_protocol_in_the_registry_is_found_in_each_place(place, tmp_path):
    (tmp_path / "pythonic.py").write_text(textwrap.dedent(PYTHONIC))
    code = textwrap.dedent(ONE_MORE) + textwrap.dedent(PLACES[place])
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_type_checkers_know_the_names_of_the_registry():
    assert get_args(ProtocolName) == tuple(PROTOCOLS)


@pytest.mark.parametrize("name", PROTOCOLS)
def test_each_name_makes_its_protocol(name):
    assert isinstance(protocol_named(name), ToolProtocol)
    assert PROTOCOLS[name].endswith(f":{type(protocol_named(name)).__name__}")
