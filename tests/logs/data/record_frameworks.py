"""Records what agent frameworks save of their calls, as ``record_others.py`` does for tracers. No test runs this.

    python -m venv v && v/bin/pip install langchain-core numpy llama-index-llms-openai-like==0.8.1 haystack-ai==3.4.1 \\
        autogen-ext[openai]==0.7.5 dspy==3.4.1 logfire==5.4.0 strands-agents[openai]==1.62.0
    for tool in llamaindex haystack autogen dspy logfire strands; do
        PYTHONPATH=.:tests v/bin/python tests/logs/data/record_frameworks.py $tool
    done

In the environment of the tests: ``langchain``, ``langgraph``, ``langsmith``, ``pydantic_ai``, ``smolagents``,
``agents``, ``openai``. Each asks "q" and then "r", and where a name ends in ``-streamed``, "q" alone.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from fake_openai import Answer, FakeOpenAI
from record_others import FIRST, SECOND, STREAMED, asking, keep

LOGPROBS = {"logprobs": True, "top_logprobs": 20}


def lines(name: str, rows) -> None:
    """Keep JSON values, one a line; what is none is written as its text, as many programs do."""
    keep(f"{name}.jsonl", "".join(f"{json.dumps(row, default=str)}\n" for row in rows).encode())


def record_llamaindex(url: str) -> None:
    from llama_index.core.llms import ChatMessage
    from llama_index.llms.openai_like import OpenAILike

    name = f"llama-index-core-{version('llama-index-core')}"
    model = OpenAILike(model="m", api_base=url, api_key="x", is_chat_model=True, **LOGPROBS)
    lines(name, [json.loads(model.chat([ChatMessage(each)]).model_dump_json()) for each in "qr"])
    parts = [json.loads(part.model_dump_json()) for part in model.stream_chat([ChatMessage("q")])]
    lines(f"{name}-streamed", parts)
    lines(f"{name}-last", parts[-1:])


def record_haystack(url: str) -> None:
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.dataclasses import ChatMessage

    name = f"haystack-ai-{version('haystack-ai')}"
    given = {"model": "m", "api_base_url": url, "generation_kwargs": LOGPROBS}
    whole = OpenAIChatGenerator(**given)
    lines(name, [whole.run([ChatMessage.from_user(each)])["replies"][0].to_dict() for each in "qr"])
    streamed = OpenAIChatGenerator(**given, streaming_callback=lambda part: None)
    lines(f"{name}-streamed", [streamed.run([ChatMessage.from_user("q")])["replies"][0].to_dict()])


def record_autogen(url: str) -> None:
    from autogen_core.models import UserMessage
    from autogen_ext.models.openai import OpenAIChatCompletionClient

    name = f"autogen-ext-{version('autogen-ext')}"
    about = dict.fromkeys(("vision", "function_calling", "json_output", "structured_output"), False)
    client = OpenAIChatCompletionClient(
        model="fake-model", base_url=url, api_key="x", model_info={**about, "family": "unknown"}
    )

    async def run():
        asked = [[UserMessage(content=each, source="u")] for each in "qr"]
        lines(
            name,
            [json.loads((await client.create(each, extra_create_args=LOGPROBS)).model_dump_json()) for each in asked],
        )
        async for part in client.create_stream(asked[0], extra_create_args=LOGPROBS):
            last = part
        lines(f"{name}-streamed", [json.loads(last.model_dump_json())])

    asyncio.run(run())


def record_dspy(url: str) -> None:
    import dspy

    name = f"dspy-{version('dspy')}"
    model = dspy.LM("openai/m", api_base=url, api_key="x", cache=False, **LOGPROBS)
    for each in "qr":
        model(each)
    lines(name, model.history)


def record_logfire(url: str) -> None:
    import io

    import logfire
    from openai import OpenAI
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    printed = io.StringIO()
    processor = SimpleSpanProcessor(ConsoleSpanExporter(out=printed))
    logfire.configure(send_to_logfire=False, console=False, additional_span_processors=[processor])
    client = OpenAI(base_url=url, api_key="x")
    logfire.instrument_openai(client)
    for each in "qr":
        client.chat.completions.create(model="m", messages=[{"role": "user", "content": each}], **LOGPROBS)
    spans, place = [], 0
    while rest := printed.getvalue()[place:].lstrip():
        span, length = json.JSONDecoder().raw_decode(rest)
        place = len(printed.getvalue()) - len(rest) + length
        span["resource"] = {}  # it names this machine
        spans.append(span)
    lines(f"logfire-{version('logfire')}", spans)


def record_strands(url: str) -> None:
    from strands import Agent
    from strands.models.openai import OpenAIModel

    model = OpenAIModel(client_args={"base_url": url, "api_key": "x"}, model_id="m", params=LOGPROBS)
    agent = Agent(model=model, callback_handler=None)
    agent("q")
    agent("r")
    keep(f"strands-agents-{version('strands-agents')}.json", json.dumps(agent.messages).encode())


# In the environment of the tests


def record_langchain(url: str) -> None:
    from langchain_core.load import dumps
    from langchain_core.messages import HumanMessage, messages_to_dict
    from langchain_openai import ChatOpenAI

    name = f"langchain-core-{version('langchain-core')}"
    model = ChatOpenAI(model="m", base_url=url, api_key="x", **LOGPROBS)
    said = [HumanMessage("q")]
    said += [model.invoke(said), HumanMessage("r")]
    said.append(model.invoke(said))
    keep(f"{name}-dumps.json", dumps(said).encode())
    keep(f"{name}-messages-to-dict.json", json.dumps(messages_to_dict(said)).encode())


def record_langgraph(url: str) -> None:
    from langchain.agents import create_agent
    from langchain_openai import ChatOpenAI
    from langgraph.checkpoint.sqlite import SqliteSaver

    model = ChatOpenAI(model="m", base_url=url, api_key="x", **LOGPROBS)
    with tempfile.TemporaryDirectory() as folder:
        with SqliteSaver.from_conn_string(f"{folder}/c.db") as saver:
            agent = create_agent(model, checkpointer=saver)
            for each in "qr":
                agent.invoke({"messages": [("user", each)]}, {"configurable": {"thread_id": "one"}})
        name = "langgraph-checkpoint-sqlite"
        keep(f"{name}-{version(name)}.db", Path(folder, "c.db").read_bytes())


def record_langsmith(url: str) -> None:
    sys.path.append(str(Path(__file__).parents[1]))
    from fake_langsmith import PROJECT, FakeLangSmith
    from langchain_core.runnables import RunnableLambda
    from langchain_core.tracers.langchain import LangChainTracer
    from langchain_openai import ChatOpenAI
    from langsmith import Client

    name, smith = f"langsmith-{version('langsmith')}", FakeLangSmith()
    client = Client(api_url=smith.url, api_key="x", auto_batch_tracing=False)
    model = ChatOpenAI(model="m", base_url=url, api_key="x", **LOGPROBS)
    tracer = LangChainTracer(client=client, project_name="default")

    def agent(question):
        model.invoke(question)
        return model.invoke("r").content

    RunnableLambda(agent).invoke("q", {"callbacks": [tracer]})
    tracer.wait_for_futures()
    for run in smith.runs.values():  # what names this machine
        run["extra"] = {"metadata": {}}
        run["serialized"] = None
    lines(name, [json.loads(run.model_dump_json()) for run in client.list_runs(project_name="default")])
    fields = ["ID", "TRACE_ID", "RUN_TYPE", "STATUS", "ERROR", "DOTTED_ORDER", "OUTPUTS"]

    async def queried():
        return [run async for run in client.runs.query_v2(project_ids=[PROJECT], selects=fields)]

    lines(f"{name}-query-v2", [json.loads(run.model_dump_json()) for run in asyncio.run(queried())])
    smith.close()


def record_pydantic_ai(url: str) -> None:
    from pydantic_ai import Agent
    from pydantic_ai.models.openai import OpenAIChatModel
    from pydantic_ai.providers.openai import OpenAIProvider

    model = OpenAIChatModel("m", provider=OpenAIProvider(base_url=url, api_key="x"))
    agent = Agent(model, model_settings={"openai_logprobs": True, "openai_top_logprobs": 20})
    first = asyncio.run(agent.run("q"))
    both = asyncio.run(agent.run("r", message_history=first.all_messages()))
    keep(f"pydantic-ai-{version('pydantic-ai-slim')}.json", both.all_messages_json())


def record_agents(url: str) -> None:
    from agents import Agent, ModelSettings, OpenAIResponsesModel, Runner, SQLiteSession, set_tracing_disabled
    from openai import AsyncOpenAI

    set_tracing_disabled(True)
    settings = ModelSettings(top_logprobs=20, response_include=["message.output_text.logprobs"])
    model = OpenAIResponsesModel("m", AsyncOpenAI(base_url=url, api_key="x"))
    agent, session = Agent("a", model=model, model_settings=settings), SQLiteSession("s")

    async def items():
        for question in "qr":
            await Runner.run(agent, question, session=session)
        return await session.get_items()

    keep(f"openai-agents-{version('openai-agents')}.json", json.dumps(asyncio.run(items())).encode())


def record_smolagents(url: str) -> None:
    from smolagents import CodeAgent, OpenAIServerModel

    model = OpenAIServerModel("m", api_base=url, api_key="x", **LOGPROBS)
    agent = CodeAgent(tools=[], model=model, max_steps=3, verbosity_level=0)
    agent.run("code")
    steps = json.dumps(agent.memory.get_full_steps(), default=str)
    keep(f"smolagents-{version('smolagents')}.json", steps.encode())


def record_openai(url: str) -> None:
    """A page of stored completions, and chunks of two streams, with the client's own classes."""
    from openai.pagination import SyncCursorPage
    from openai.types.chat import ChatCompletion

    name, ask = f"openai-{version('openai')}", asking(url)
    page = SyncCursorPage[ChatCompletion](data=[ask("q"), ask("r")], object="list", has_more=False)
    keep(f"{name}-page.json", page.model_dump_json().encode())
    lines(f"{name}-streamed", [json.loads(part.model_dump_json()) for part in ask("q", **STREAMED)])


CODE = [
    Answer(entropies=FIRST, text="Thought: first\n<code>\nprint(1)\n</code>"),
    Answer(entropies=SECOND, text='Thought: now\n<code>\nfinal_answer("1")\n</code>'),
]

if __name__ == "__main__":
    steps = list(CODE)
    server = FakeOpenAI({"q": Answer(entropies=FIRST), "r": Answer(entropies=SECOND)}, otherwise=lambda _: steps.pop(0))
    os.environ["OPENAI_API_KEY"] = "x"
    globals()[f"record_{sys.argv[1]}"](server.url)
    server.close()
