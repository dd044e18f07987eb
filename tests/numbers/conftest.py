from __future__ import annotations

import pytest

pytest.register_assert_rewrite("restated")  # its asserts are the tests' own
