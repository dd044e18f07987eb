"""``ec-agent traces merge`` on stores that no evaluation wrote."""

from __future__ import annotations

from ec_agent.cli.traces_merge import run_merge
from ec_agent.traces.sql.store import TraceStore


def test_a_run_that_ones_own_code_began_is_merged_without_a_word_about_tasks(tmp_path, capsys):
    with TraceStore(tmp_path / "a.db", create=True) as store:
        store.begin({"what": 1}, {"t": "1"})
    run_merge([tmp_path / "a.db"], tmp_path / "b.db", keep_first=False)
    assert capsys.readouterr().out.startswith("0 rollouts and 0 selections of 1 store added to ")
