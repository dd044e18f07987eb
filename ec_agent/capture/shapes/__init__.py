"""Reads the answers of all providers: their tokens, logprobs and usage. NumPy only.

``entries`` has the table of the forms in which logprobs come; docs/providers.md says which provider sends which. An
answer may be an object or JSON: ``get`` reads attributes and keys alike. Words used in this package: an *entry* is one
token with its logprobs, a *part* is a chunk or an event of a streamed answer, a *gap* is a place where tokens came
without an entry.

Odd payloads are read as follows (left: what came; right: what becomes of it):

    no candidates, ``None``, NaN, ``+inf``, a wrong type    -> that token has no entropy (NaN)
    a logprob above 0, beyond rounding                      -> that token has no entropy
    a candidate at ``-745`` or below (``-9999.0``, "masked",
    ``-1000``, llama.cpp's ``-3.4e38``)                     -> a candidate of probability 0
    only such candidates                                    -> that token has no signal of any kind
    its own logprob 0.0, and its candidates contradict it
    (none is certain, or another token is)                  -> that token has no signal of any kind
    several candidates with 0.0                             -> that token has no signal of any kind
    its own logprob 0.0, no candidates, and others have some -> that token has no signal of any kind
    0.0 three times in a row, or for a quarter of the call,
    in a call without candidates, and few between that and
    -0.001                                                  -> those tokens have no signal of any kind
    a single candidate, unless it is practically certain    -> that token has no entropy
    such tokens, and none in the call with more candidates  -> no token of the call has an entropy
    one candidate per token in the whole call, certain
    or not; or one asked for                                -> no token of the call has an entropy
    the same candidate twice: the same logprob, and the
    same number, or the same text and bytes of whole
    characters                                              -> it counts once
    candidates that are parts of characters (U+FFFD, no
    text, half a surrogate pair) with one logprob           -> each counts
    more candidates than asked for (the sampled token is
    appended beyond the top-k)                              -> the likeliest count, as many as were asked for
    fewer candidates than asked for                         -> all that came count
    candidates in any order                                 -> they are sorted
    the sampled token missing from its own candidates       -> the entropy is that of the candidates
    candidates named by ids (``token_id:123``, or numbers)  -> read as usual; shown by the text in their ``bytes``
    one token in place of a list of one (mistral.rs)        -> that token
    a prompt echoed before a legacy completion              -> left out, if the usage tells where it ends
    fewer entries than the reported output tokens           -> the others are gaps, placed where the text has no
                                                               entry; one missing end token is not a gap
    a streamed part with text, without logprobs, no usage   -> a gap of at least one token in its place
    entries that do not fit the text                        -> gaps at the end, and ``Call.unplaced`` counts them
    a streamed part with a number or a place in the text    -> a part that came twice counts once; one that never
    (Responses' ``sequence_number``, ``text_offset``)          came is a gap in its place
    a streamed answer with its usage in several parts:
    repeated, running totals, zeros, separate details       -> one usage: the total that fits the tokens that came
    a part that came twice: a closing one; or as many
    tokens as came more than the usage counts               -> its tokens count once
    a message of LangChain whose reason is ``stopstop``     -> its usage is divided by the factor that fits the
                                                               tokens
    text and a tool call in one piece, logprobs only for
    the text, and no usage                                  -> the tokens of the tool call are not noticed
    several answers to one request (``n=2``)                -> one timeline each. One of them counts: the one that
                                                               the agent went on with if that is known, else the
                                                               first; ``ec-agent score`` scores each
    ... with one count of tokens for all of them            -> all are paid for; tokens that no answer has are
                                                               divided equally among the answers
    parts of a stream that hold all tokens so far           -> each token counts once
    a count beyond 10 million tokens, or below 0            -> no count
    a count of 0 for an answer that is not empty            -> no count
"""

from ec_agent.capture.shapes.alternatives import pick, words_of
from ec_agent.capture.shapes.calls import call_of, call_with
from ec_agent.capture.shapes.completeness import finished
from ec_agent.capture.shapes.entries import HELD_UNDER, SHAPES, Shape, entries_of
from ec_agent.capture.shapes.messages import may_be_summed, payload_of_message, said_once
from ec_agent.capture.shapes.payload import Payload
from ec_agent.capture.shapes.readings import Reading
from ec_agent.capture.shapes.saved_parts import Stream, Streams, is_ai, payloads_of_response, plain_message
from ec_agent.capture.shapes.streamed_answers import payload_of_stream, streamed_entries
from ec_agent.capture.shapes.summed_messages import MessageParts
from ec_agent.capture.shapes.tokens import capability_of, tokens_of
from ec_agent.capture.shapes.values import count, get, listed
from ec_agent.capture.shapes.whole_answers import (
    first_of_messages,
    generated,
    is_response,
    merge_payloads,
    payload_of_response,
    read_once,
    without_echo,
)

__all__ = [
    "HELD_UNDER",
    "SHAPES",
    "MessageParts",
    "Payload",
    "Reading",
    "Shape",
    "Stream",
    "Streams",
    "call_of",
    "call_with",
    "capability_of",
    "count",
    "entries_of",
    "finished",
    "first_of_messages",
    "generated",
    "get",
    "is_ai",
    "is_response",
    "listed",
    "may_be_summed",
    "merge_payloads",
    "payload_of_message",
    "payload_of_response",
    "payload_of_stream",
    "payloads_of_response",
    "pick",
    "plain_message",
    "read_once",
    "said_once",
    "streamed_entries",
    "tokens_of",
    "without_echo",
    "words_of",
]
