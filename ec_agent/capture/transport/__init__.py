"""HTTP transports that read logprobs before the ``openai`` client makes objects of them, which saves time.

OpenAI(http_client=http_client())
AsyncOpenAI(http_client=async_http_client())
ChatOpenAI(http_client=http_client(), http_async_client=async_http_client())
"""

from ec_agent.capture.transport.transports import (
    AsyncEntropyTransport,
    EntropyTransport,
    async_http_client,
    http_client,
)

__all__ = ["AsyncEntropyTransport", "EntropyTransport", "async_http_client", "http_client"]
