"""The whole corpus: 10,000 mutated streams, each in every way of reading; `make streams` runs it.

python tests/streams/streams_long_form.py [FIRST [LAST]]
"""

from __future__ import annotations

import sys
import time

from stream_corpus import SIZE, judged
from stream_readers import Readers


def main(first: int = 0, last: int = SIZE) -> int:
    began, readers = time.monotonic(), Readers()
    try:
        findings = judged(readers, range(first, last))
    finally:
        readers.close()
    print(findings)
    print(f"{last - first} streams in {time.monotonic() - began:.0f} s")
    return bool(findings.wrong)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
