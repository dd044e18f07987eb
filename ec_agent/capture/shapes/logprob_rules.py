"""What a logprob may be: where one is a rounding error, a mask, or no number at all."""

from __future__ import annotations

import numpy as np

CERTAIN = 0.999
SENTINEL = -745.0
"""At this logprob or below, a probability is 0 in a float. Servers write such numbers (-1000, -9999, -3.4e38) for
"masked"."""
ROUNDING = 0.01  # logprobs up to this are accepted as 0 with a rounding error
TRUTHS = (bool, np.bool_)
"""Types that Python accepts as the numbers 0 and 1, and that are not numbers here."""
