"""Reads saved logprobs for `ec-agent score`: logs of other tools, and our own trace files. One module reads one format.

registry        the formats by name
base            the interface of a reader, and what it finds
otel            our own OpenTelemetry spans
traces          our own trace files
inspect         logs of Inspect
langsmith       runs exported from LangSmith
reference       entropy_results.jsonl of the method's reference code
spans           spans and traces of OpenInference and MLflow
checkpoints     LangGraph's checkpoints in SQLite
llm             the log of the command `llm`
conversation    one saved conversation, as an array of messages or as lines
responses       saved responses, messages, entropies
source          reads files, lines and large JSON documents as a stream of JSON values
packed          unpacks gzip
parquet         the rows of Parquet files
bounds          limits for the depth and the size of a record
splitting       splits a large JSON document into the elements of an array
nested          finds answers anywhere in a record
messages        recognises the messages of saved conversations
outputs         what tracers save of one LLM call
rollouts        makes one rollout of several records
tasks           which rollouts answer the same task
keys            looks up what --task-from and --rollout-from name
id_numbers      what the numbers in ids count
asked           what a model was asked
sqlite_files    SQLite files of other tools
span_forms      spans in the forms in which they are saved
spool           keeps calls on disk until the calls of a rollout are complete
dropping        tools that leave logprobs out of what they write
inspect_events  which model events of an Inspect sample are the agent's

One record of a file is in memory at a time. Names are imported when they are first used.
"""

from __future__ import annotations

from ec_agent.support.lazy import lazy_names

__getattr__, __dir__, __all__ = lazy_names(__name__, __file__)
