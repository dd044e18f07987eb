"""SynLogic: made puzzles in the published form, with the verifiers of a clone; here one that is made."""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from published import needs_sandbox, said

from ec_agent.errors import ConfigError
from ec_agent.evaluation.adapters import load

DATA = """
import json
class Data:
    def __init__(self, question, answer, metadata):
        self.question, self.answer, self.metadata = question, answer, metadata
    @classmethod
    def from_json_str(cls, text):
        told = json.loads(text)
        return cls(told["question"], told["answer"], told.get("metadata"))
"""
VERIFIERS = """
class Same:
    def verify(self, data, test_solution):
        return data.answer == test_solution
class Worth:
    def verify(self, data, test_solution):
        return eval(test_solution) == data.metadata["worth"]
verifier_classes = {"cipher": Same, "game_of_24": Worth}
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    monkeypatch.delenv("EC_AGENT_SYNLOGIC", raising=False)
    needs_sandbox()
    (tmp_path / "clone" / "base").mkdir(parents=True)
    (tmp_path / "clone" / "base" / "__init__.py").touch()
    (tmp_path / "clone" / "base" / "data.py").write_text(DATA)
    (tmp_path / "clone" / "task2verifier.py").write_text(VERIFIERS)
    return tmp_path / "clone"


def row(puzzle, question, answer, **metadata):
    game = json.dumps({"question": question, "answer": answer, "metadata": metadata})
    return {
        "data_source": puzzle,
        "prompt": [{"role": "user", "content": question}],
        "extra_info": {"game_data_str": game, "index": 0},
    }


ROWS = [
    row("val/cipher", "Turn ABC round.", "CBA"),
    row("game_of_24", "Make 24 of 4 and 6. Write <answer>...</answer>.", "", worth=24),
]


def read(folder, rows=ROWS, **options):
    pq.write_table(pa.Table.from_pylist(rows), folder / "easy.parquet")
    return load(f"synlogic:{folder / 'easy.parquet'}", **options)


def test_verdicts_are_the_verifiers(tmp_path, clone):
    cipher, game = read(tmp_path, repo=str(clone))
    assert cipher.verdict(said(cipher.gold)) == 1.0
    assert cipher.verdict(said("<think><answer>CBA</answer></think> It is <answer>ABC</answer>")) == 0.0
    assert cipher.verdict(said("CBA")) == 1.0  # verifiers look for answers themselves
    assert game.verdict(said("<answer>(4+6</answer> or <answer>4*6</answer>")) == 1.0
    assert [game.verdict(said(f"<answer>{text}</answer>")) for text in ("4+6", "4+", "__import__('os')._exit(0)")] == [
        0
    ] * 3


def test_what_an_answer_evaluates_to_stays_in_the_sandbox(tmp_path, clone):
    game = read(tmp_path, repo=str(clone))[1]
    harm = f"open({str(tmp_path / 'harm')!r}, 'w').write('x') and 24"
    game.verdict(said(f"<answer>{harm}</answer>"))
    assert not (tmp_path / "harm").exists()


def test_what_is_asked(tmp_path, clone, monkeypatch):
    monkeypatch.setenv("EC_AGENT_SYNLOGIC", str(clone))
    cipher, game = read(tmp_path)
    assert (cipher.id, game.id, cipher.expected, game.gold) == (
        "synlogic-cipher-1",
        "synlogic-game_of_24-2",
        "CBA",
        "<answer></answer>",
    )
    ((role, text),) = cipher.input["messages"]
    assert (role, "<answer>" in text) == ("user", True)
    assert game.input == {"messages": [("user", "Make 24 of 4 and 6. Write <answer>...</answer>.")]}


def test_without_the_repository(tmp_path, monkeypatch):
    monkeypatch.delenv("EC_AGENT_SYNLOGIC", raising=False)
    with pytest.raises(ConfigError, match=r"no folder is not it; clone MiniMax-AI/SynLogic"):
        read(tmp_path)
    with pytest.raises(ConfigError, match="EC_AGENT_SYNLOGIC=FOLDER"):
        read(tmp_path, repo=str(tmp_path))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"data_source": "sudoku"}, "row 1 is a puzzle 'sudoku', and .* has no verifier of that name"),
        ({"extra_info": {"index": 1}}, "row 1 has no prompt of messages, or no game_data_str"),
        ({"extra_info": {"game_data_str": "[1]"}}, "no game_data_str"),
        ({"prompt": [{"content": "x"}]}, "row 1 has no prompt of messages"),
    ],
)
def test_rows_that_are_not_as_published(tmp_path, clone, change, match):
    with pytest.raises(ConfigError, match=match):
        read(tmp_path, [{**ROWS[0], **change}], repo=str(clone))


def test_verifiers_that_cannot_be_imported_are_no_wrong_answers(tmp_path, clone):
    (clone / "task2verifier.py").write_text("import no_such_module")
    with pytest.raises(ConfigError, match=r"cannot be imported .*No module named 'no_such_module'.*requirements.txt"):
        read(tmp_path, repo=str(clone))
