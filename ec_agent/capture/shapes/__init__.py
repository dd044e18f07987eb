"""The one table of payload shapes: what providers return -> tokens, logprobs and usage. NumPy only.

``entries`` has the table; docs/providers.md says which provider sends which. Objects and their JSON form are read
alike: an attribute and a key are the same thing here.

What comes out when a payload is odd, token by token:

    no candidates, ``None``, NaN, ``+inf``, a wrong type    -> that token has no entropy (NaN)
    a logprob above 0, beyond rounding                      -> that token has no entropy
    a candidate at ``-745`` or below (``-9999.0``, "masked",
    ``-1000``, llama.cpp's ``-3.4e38``)                     -> a candidate of probability 0
    only such candidates                                    -> that token has no signal of any kind
    its own logprob 0.0, and its candidates say otherwise
    (none is certain, or another token is)                  -> that token has no signal of any kind
    several candidates with 0.0                             -> that token has no signal of any kind
    its own logprob 0.0, no candidates, and others have some -> that token has no signal of any kind
    0.0 three times in a row, or for a quarter of the call,
    in a call without candidates, and few between that and
    -0.001                                                  -> those tokens have no signal of any kind
    a single candidate, unless it is practically certain    -> that token has no entropy
    such tokens, and none in the call with more candidates  -> no token of the call has an entropy
    one candidate a token listed in all the call, certain
    or not; or one asked for                                -> no token of the call has an entropy
    the same candidate twice, told by its number, or by
    text and bytes of whole characters, and its logprob     -> it counts once
    candidates that are parts of characters (U+FFFD, no
    text, half a surrogate pair) with one logprob           -> each counts
    more candidates than asked for (the sampled token is
    appended beyond the top-k)                              -> the largest so many count
    fewer candidates than asked for                         -> those that came count
    candidates in any order                                 -> the same
    the sampled token missing from its own candidates       -> the candidates alone make the entropy
    candidates named by ids (``token_id:123``, or numbers)  -> the same; shown by the text in their ``bytes``
    one token in the place of a list of one (mistral.rs)    -> that token
    a prompt echoed before a legacy completion              -> left out, as far as usage says where it ends
    fewer entries than the reported output tokens           -> the rest are gaps, where the text has no entry; one
                                                               missing end token is none
    a streamed part with text and no logprobs, and no usage -> one token without entropy, at least, in its place
    entries that have nothing to do with the text           -> gaps at the end, and ``Call.unplaced`` counts them
    a streamed part with a number or a place in the text    -> what came twice counts once; what never came is a
    (Responses' ``sequence_number``, ``text_offset``)          gap in its place
    a streamed answer that tells its usage in several
    parts: repeated, running totals, zeros, details apart   -> one usage: the total that fits the tokens that came
    a part that comes again: a closing one; or as many
    as the usage counts too few                             -> its tokens count once
    a message of LangChain's that ended for ``stopstop``    -> its usage is divided by what the tokens tell
    text and a tool call in one piece, logprobs for the
    text alone, and no usage                                -> the call's tokens are not seen to be missing
    several answers to one request (``n=2``)                -> one timeline each, and one counts: the one that the
                                                               agent went on with where that is seen, else the
                                                               first; ``ec-agent score`` scores each
    ... with a count of tokens for all of them together     -> on the bill; what none has is shared out equally
    parts of a stream that hold all tokens so far           -> each token once
    a count beyond 10 million tokens, or below 0            -> no count
    a count of 0 for an answer that is not empty            -> no count
"""

from ec_agent.capture.shapes.alternatives import pick, words_of
from ec_agent.capture.shapes.ending import finished
from ec_agent.capture.shapes.entries import SHAPES, Shape, entries_of
from ec_agent.capture.shapes.messages import may_be_summed, payload_of_message, said_once
from ec_agent.capture.shapes.parts import Stream, Streams, is_ai, is_response, payloads_of_response, plain_message
from ec_agent.capture.shapes.payloads import (
    Payload,
    first_of_messages,
    generated,
    merge_payloads,
    payload_of_response,
    without_echo,
)
from ec_agent.capture.shapes.reading import count, get, listed
from ec_agent.capture.shapes.streamed import payload_of_stream, streamed_entries
from ec_agent.capture.shapes.summed import MessageParts
from ec_agent.capture.shapes.tokens import call_of, capability_of, tokens_of

__all__ = [
    "SHAPES",
    "MessageParts",
    "Payload",
    "Shape",
    "Stream",
    "Streams",
    "call_of",
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
    "said_once",
    "streamed_entries",
    "tokens_of",
    "without_echo",
    "words_of",
]
