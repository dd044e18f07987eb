"""P(True): what the judge is shown, how rollouts are ranked, and what is said where it cannot judge."""

from __future__ import annotations

import re

import pytest
from judging import QUESTION, Script, candidates, proposed_in, true_with
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

from ec_agent import Candidate, SelectorError, Trajectory
from ec_agent.errors import ConfigError
from ec_agent.judges import PTrue
from ec_agent.selectors import MajorityVote
from ec_agent.testing import Reply


def test_the_likeliest_to_be_right_comes_first_and_equal_answers_are_asked_about_once():
    judge = true_with({"5": 0.7, "6": 0.2, "4": 0.9})
    ranking = PTrue(judge.model).select(candidates("5", "6", "5", "4", "6"))
    assert ranking.order == (3, 0, 2, 1, 4)
    assert ranking.scores == pytest.approx({0: 0.7, 1: 0.2, 2: 0.7, 3: 0.9, 4: 0.2})
    assert sorted(map(proposed_in, judge.prompts)) == ["4", "5", "6"]
    assert (ranking.reasons, ranking.warnings) == ({}, ())


async def test_the_async_form_does_the_same():
    answers = {str(i): i / 20 for i in range(1, 20)}
    judge = true_with(answers)
    selector, given = PTrue(judge.model, max_concurrency=3), candidates(*answers)
    assert await selector.aselect(given) == selector.select(given)
    assert len(judge.prompts) == 2 * len(answers)


def test_the_judge_is_shown_the_question_and_the_answer():
    judge = true_with({"5": 0.5, "6": 0.5})
    PTrue(judge.model).select(candidates("5", "6"))
    assert all("<question>\nWhat is 2 + 3?\n</question>" in prompt for prompt in judge.prompts)
    assert not any("<other_answer>" in prompt for prompt in judge.prompts)
    PTrue(judge.model, others=True, max_concurrency=1).select(candidates("5", "6", "5"))
    assert ["<other_answer>\n6\n</other_answer>" in prompt for prompt in judge.prompts[2:]] == [True, False]


CALL = {"name": "ship", "args": {"to": "Ann", "parcel": 2}, "id": "c1"}


@pytest.mark.parametrize(
    ("action", "written"),
    [
        (AIMessage(" 5 "), "5"),
        (AIMessage("Now:", tool_calls=[CALL]), 'Now:\ncall ship({"parcel": 2, "to": "Ann"})'),
        (AIMessage([{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]), "ab"),
        ({"answer": 5, "unit": "mug"}, '{"answer": 5, "unit": "mug"}'),
        (7.5, "7.5"),
        (object, "<class 'object'>"),
    ],
    ids=["message", "tool call", "blocks", "dict", "number", "anything"],
)
def test_final_actions_of_any_kind_are_shown(action, written):
    judge = Script(lambda prompt: {"True": 0.5, "False": 0.5})
    PTrue(judge.model).select(candidates(action))
    assert proposed_in(judge.prompts[0]) == written


@pytest.mark.parametrize(
    ("question", "written"),
    [
        ("Which?", "Which?"),
        ({"messages": [HumanMessage("Which?")], "docs": [], "lang": "en"}, "Which?\n\nlang: en"),
        (
            {"messages": [SystemMessage("Be brief."), HumanMessage("Hi"), AIMessage("", tool_calls=[CALL])]},
            'system: Be brief.\n\nuser: Hi\n\nassistant: call ship({"parcel": 2, "to": "Ann"})',
        ),
        ([("user", "a"), {"role": "assistant", "content": "b"}], "user: a\n\nassistant: b"),
        ([HumanMessage("a"), ToolMessage("c", tool_call_id="1")], "user: a\n\ntool: c"),
        ({"x": 1, "y": [2]}, '{"x": 1, "y": [2]}'),
        (5, "5"),
    ],
    ids=["text", "one message", "talk", "pairs", "tool", "state", "number"],
)
def test_questions_of_any_kind_are_shown(question, written):
    judge = Script(lambda prompt: {"True": 0.5, "False": 0.5})
    PTrue(judge.model).select(candidates("5", question=question))
    assert f"<question>\n{written}\n</question>" in judge.prompts[0]


def test_the_user_may_write_both():
    judge = true_with({"five": 0.5})
    ranking = PTrue(judge.model, question=lambda state: "2 + 3", answer=lambda action: "five").select(candidates(5, 6))
    assert "<question>\n2 + 3\n</question>" in judge.prompts[0]
    assert (len(judge.prompts), ranking.order) == (1, (0, 1))


def test_long_texts_lose_their_middle_and_the_receipt_says_so():
    judge = Script(lambda prompt: {"True": 0.5, "False": 0.5})
    text = "a" * 150 + "b" * 150
    ranking = PTrue(judge.model, max_chars=100, max_concurrency=1).select(candidates(text, "5"))
    shown = proposed_in(judge.prompts[0])
    assert shown == "a" * 67 + "\n[... 200 characters left out ...]\n" + "b" * 33
    assert ranking.warnings == ("1 texts were too long for the judge, and their middle was left out (max_chars)",)


def test_failed_rollouts_and_those_without_an_action_are_not_judged():
    judge = true_with({"5": 0.5})
    given = [*candidates("5", None, ""), Candidate(3, Trajectory(), error="OSError", question=QUESTION)]
    ranking = PTrue(judge.model).select(given)
    assert (ranking.order, ranking.reasons) == ((0,), {1: "no_answer", 2: "no_answer"})
    with pytest.raises(SelectorError, match="no rollout has a final action"):
        PTrue(judge.model).select(given[1:])
    assert len(judge.prompts) == 1


SAYING = {
    "other words": ({"Well": 0.9, "So": 0.1}, "1 of 2 judgements of scripted had neither of true or false"),
    "no logprobs": (Reply("True", tokens=1), "1 of 2 judgements of scripted came without logprobs"),
    "failing": (Reply(error=OSError("down")), r"1 of 2 judgements of scripted failed \(OSError\('down'\)\)"),
}


@pytest.mark.parametrize("kind", SAYING)
def test_one_that_cannot_be_judged_is_not_ranked_and_the_receipt_says_why(kind):
    said, note = SAYING[kind]
    judge = Script(lambda prompt: said if proposed_in(prompt) == "5" else {"True": 0.1, "False": 0.9})
    ranking = PTrue(judge.model).select(candidates("5", "6"))
    assert (ranking.order, ranking.reasons, ranking.scores[0]) == ((1,), {0: "no_verdict"}, None)
    (warning,) = ranking.warnings
    assert re.search(note, warning)
    assert warning.endswith("and say nothing about their rollouts")


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("other words", "answers with other words than true or false in all of 2 calls; ask a model that"),
        ("no logprobs", "returned no logprobs in 2 of 2 calls; ask a model whose endpoint"),
        ("failing", r"2 of 2 calls of scripted failed: OSError\('down'\)"),
    ],
)
def test_where_none_can_be_judged_it_fails(kind, said):
    judge = Script(lambda prompt: SAYING[kind][0])
    with pytest.raises(SelectorError, match=said) as caught:
        PTrue(judge.model).select(candidates("5", "6"))
    assert (kind == "failing") == isinstance(caught.value.__cause__, OSError)


def test_a_judge_that_does_not_answer_as_asked_is_told_of():
    judge = Script(lambda prompt: {"Well": 0.8, "True": 0.1, "False": 0.1})
    ranking = PTrue(judge.model).select(candidates("5"))
    assert ranking.scores == pytest.approx({0: 0.5})
    assert "in 1 of 1 judgements of scripted the first token was more probably another" in ranking.warnings[0]


def test_candidates_must_say_what_was_asked():
    with pytest.raises(ConfigError, match=r"candidate 0 does not say what was asked.*give Candidate\(\.\.\., question"):
        PTrue(true_with({}).model).select([Candidate(0, Trajectory(), "5")])


@pytest.mark.parametrize("name", ["question", "answer"])
@pytest.mark.parametrize(("wrong", "said"), [(lambda value: 5, "returned int"), (lambda value: 1 / 0, "failed with")])
def test_a_function_of_the_user_s_that_writes_no_text_is_named(name, wrong, said):
    with pytest.raises(ConfigError, match=f"{name}= {said}.*; return a text"):
        PTrue(true_with({}).model, **{name: wrong}).select(candidates("5"))


def test_its_name_says_whom_it_asks():
    model = true_with({}).model
    assert PTrue(model).name == "p_true(scripted)"
    assert PTrue(model, others=True, on_failure=MajorityVote()).name == "p_true(scripted, others=True)"
    assert PTrue(model).most_calls(8) == 8
