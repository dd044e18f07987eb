"""Reading reports, and what is to be found at each kind of endpoint."""

from __future__ import annotations

from kinds import Kind

from ec_agent.doctor import Verdict
from ec_agent.doctor.report import QUESTIONS


def marks(report):
    return {finding.question: str(finding.mark) for finding in report.findings}


def advice(report, *, needed=None):
    return " | ".join(setting.text for setting in report.settings if needed in (None, setting.needed))


ALL_GOOD = dict.fromkeys(QUESTIONS, "yes") | {"reasoning": "no", "completions": "not asked"}


CASES = {
    "no logprobs": (Kind(logprobs=False), Verdict.UNUSABLE, {"logprobs": "no", "tools": "no", "stream": "no"}),
    "sampled only": (Kind(logprobs="sampled"), Verdict.UNUSABLE, {"logprobs": "no", "responses": "partly"}),
    "at most 5": (Kind(most=5), Verdict.USABLE, {"logprobs": "yes", "top_k": "partly", "tools": "yes"}),
    "5 without a word": (Kind(fewer=5), Verdict.USABLE, {"logprobs": "yes", "top_k": "partly"}),
    "no tools + stream": (Kind(tools_stream=False), Verdict.WITH_SETTINGS, {"tools": "yes", "tools_stream": "no"}),
    "no stream logprobs": (
        Kind(streamed_logprobs=False),
        Verdict.WITH_SETTINGS,
        {"tools": "yes", "stream": "no", "tools_stream": "no"},
    ),
    "calls without": (Kind(call_logprobs=False), Verdict.WITH_SETTINGS, {"logprobs": "yes", "tools": "no"}),
    "calls in part": (Kind(call_logprobs=1), Verdict.WITH_SETTINGS, {"tools": "partly", "tools_stream": "partly"}),
    "no call comes": (Kind(calls=False), Verdict.WITH_SETTINGS, {"tools": "not known", "tools_stream": "not known"}),
    "seed ignored": (Kind(seeds=False), Verdict.USABLE, {"seed": "no"}),
    "always the same": (Kind(seeds="deaf"), Verdict.USABLE, {"seed": "not known"}),
    "n ignored": (Kind(choices=False), Verdict.USABLE, {"n": "no"}),
    "n in part": (Kind(choice_logprobs=False), Verdict.USABLE, {"n": "partly"}),
    "no Responses": (Kind(responses=False), Verdict.USABLE, {"responses": "no"}),
    "bare Responses": (Kind(responses="bare"), Verdict.USABLE, {"responses": "partly"}),
    "usage unstreamed": (Kind(usage="unstreamed"), Verdict.USABLE, {"usage": "partly", "tools_stream": "partly"}),
    "no usage": (Kind(usage=False), Verdict.USABLE, {"usage": "no", "tools": "partly"}),
    "reasoning seen": (Kind(reasoning="hm"), Verdict.USABLE, {"reasoning": "yes"}),
    "reasoning unseen": (
        Kind(reasoning="hm", thinking=30),
        Verdict.WITH_SETTINGS,
        {"reasoning": "partly", "logprobs": "partly", "tools": "partly"},
    ),
    "old parameters": (Kind(unsupported=("max_tokens", "temperature")), Verdict.USABLE, {}),
    "no stream_options": (Kind(unsupported=("stream_options",)), Verdict.USABLE, {"stream": "yes"}),
    "no forced call": (Kind(unsupported=("tool_choice",)), Verdict.USABLE, {"tools": "yes"}),
    "logprobs refused": (
        Kind(unsupported=("logprobs", "top_logprobs")),
        Verdict.UNUSABLE,
        {"logprobs": "no", "tools": "no", "stream": "no", "responses": "partly"},
    ),
    "no seed": (Kind(unsupported=("seed",)), Verdict.USABLE, {"seed": "no"}),
    "no n": (Kind(unsupported=("n",)), Verdict.USABLE, {"n": "no"}),
}
