"""Judges for tests: models whose first token has the probabilities that a test says, and candidates for them."""

from __future__ import annotations

import json
import math
import re

from fake_openai import Answer

from ec_agent import Candidate, Trajectory
from ec_agent.testing import Reply, ScriptedChatModel

QUESTION = {"messages": [("user", "What is 2 + 3?")]}


def entry(likeliest, token=None):
    """One token in OpenAI's form, with its candidates: a dict from texts to probabilities."""
    rows = [{"token": text, "logprob": math.log(share), "bytes": None} for text, share in likeliest.items() if share]
    rows.sort(key=lambda row: -row["logprob"])
    own = next((row for row in rows if row["token"] == token), rows[0])
    return {**own, "top_logprobs": rows}


def logprobs(*tokens):
    return {"content": [entry(each) for each in tokens]}


def reply(*tokens):
    """The reply of a scripted model whose tokens have these candidates."""
    made = logprobs(*tokens)
    return Reply("".join(each["token"] for each in made["content"]), logprobs=made, tokens=len(tokens))


def answer(*tokens):
    """The same of a fake endpoint."""
    made = logprobs(*tokens)
    text = "".join(each["token"] for each in made["content"])
    return Answer(entropies=[0.1] * len(tokens), logprobs=made, text=text)


def candidates(*actions, question=QUESTION):
    return [Candidate(i, Trajectory(), final_action=action, question=question) for i, action in enumerate(actions)]


def proposed_in(prompt):
    return re.search(r"<proposed_answer>\n(.*?)\n</proposed_answer>", prompt, re.DOTALL).group(1)


def pair_in(prompt):
    return tuple(re.search(rf"<answer_{x}>\n(.*?)\n</answer_{x}>", prompt, re.DOTALL).group(1) for x in "ab")


class Script:
    """What a judge is asked, and how it answers: ``say(prompt)`` gives its first token's candidates, or a reply."""

    def __init__(self, say):
        self._say, self.prompts = say, []

    @property
    def model(self):
        def scripted(messages, index):
            self.prompts.append(messages[-1].text)
            said = self._say(messages[-1].text)
            return said if isinstance(said, Reply) else reply(said)

        return ScriptedChatModel(scripted)

    def answering(self, body):
        """The same as an answer of a fake endpoint."""
        (message,) = body["messages"]
        self.prompts.append(message["content"])
        return answer(self._say(message["content"]))


def true_with(shares):
    """A judge that finds each answer right with this probability: a dict from answers."""
    return Script(lambda prompt: {"True": shares[proposed_in(prompt)], "False": 1 - shares[proposed_in(prompt)]})


def plain(value):
    return json.dumps(value, sort_keys=True)
