from __future__ import annotations

import pytest

from ec_agent.errors import ConfigError
from ec_agent.stopping.wave_plan import until_next, waves_of


@pytest.mark.parametrize("waves", [(1,), (4, 4), (4, 1), (2, 2, 4), (3, 5, 2), (7,)])
def test_waves_go_on_with_their_last(waves):
    sizes = list(waves) + [waves[-1]] * 30
    whole_at = [sum(sizes[:count]) for count in range(1, len(sizes))]
    for ended in range(20):
        assert until_next(waves, ended) == min(at for at in whole_at if at > ended) - ended


def test_they_are_whole_numbers():
    assert waves_of("waves", [4, 1]) == (4, 1)
    for wrong in ([], [0], [4, -1], [1.5], "44", 4, None, [True], {4: 1}):
        with pytest.raises(ConfigError, match=r"waves.*; give a"):
            waves_of("waves", wrong)
