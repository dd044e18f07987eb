"""The embedded server with a chat template in which the model thinks, if it is told to by ``THINK``.

The small model was never taught to think. The template opens the thinking, and a grammar has the model close it. So the
server sends what it sends of a model that thinks: ``reasoning_content``, and then ``content``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ec_agent.local import LocalServer

TEMPLATE = """\
{%- for message in messages -%}
<|im_start|>{{ message.role }}
{% if message.reasoning_content %}<think>
{{ message.reasoning_content }}
</think>

{% endif %}{{ message.content }}<|im_end|>
{% endfor -%}
{%- if add_generation_prompt -%}
<|im_start|>assistant
{% if think %}<think>
{% endif %}
{%- endif -%}
"""
GRAMMAR = 'root ::= [a-z ]{1,20} "</think>" [a-z ]{4,12}'
THINK: dict[str, Any] = {
    "chat_template_kwargs": {"think": True},
    "grammar": GRAMMAR,
    "reasoning_format": "deepseek",
}
"""What a request adds, so that the model thinks a few words and then answers."""


class ThinkingServer(LocalServer):
    """A ``LocalServer`` whose model thinks where it is told to."""

    def _params(self, xllamacpp: Any, path: Path) -> Any:
        params = super()._params(xllamacpp, path)
        params.chat_template = TEMPLATE
        params.use_jinja = True
        # Else an answer with a schema may first think as long as it likes, and other answers would not be as usual.
        params.reasoning_format = xllamacpp.common_reasoning_format.COMMON_REASONING_FORMAT_NONE
        return params
