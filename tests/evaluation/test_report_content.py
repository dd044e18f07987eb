from __future__ import annotations

import pytest
from report_parts import FAST, family, small, task
from stored_families import TABLE, stored

from ec_agent.errors import ConfigError
from ec_agent.evaluation.report.content import compare, config_in, selectors_in
from ec_agent.evaluation.statistics import summarise
from ec_agent.numbers.phases import HEPConfig
from ec_agent.selectors.registry import CONFOUNDS, SELECTORS


def test_all_selectors_but_the_confounds_and_those_whose_signal_was_not_stored():
    report = compare(stored("bfcl")[:4], resampling=FAST)
    assert report.left_out == {"self_certainty": "self_certainty"}
    named = [row.name for row in report.summary.selectors]
    assert named == [name for name in SELECTORS if name not in (*CONFOUNDS, "self_certainty")]
    means = ("deepconf_mean", "deepconf_tail", "deepconf_bottom_window", "deepconf_lowest_group")
    # No rollout fills a window, and on four tasks two votes rank alike.
    assert report.summary.alike == (means, ("tie_broken_vote", "confidence_weighted_vote"))
    assert report.summary.comparisons == len(named) - 4
    assert sorted(row.name for row in report.summary.panel) == sorted(CONFOUNDS)


def test_a_selector_that_is_asked_for_must_have_its_signal():
    with pytest.raises(ConfigError, match="'self_certainty' was not kept"):
        family(tasks=3, selectors="self_certainty")


def test_the_settings_of_the_phases_reach_the_centroid():
    results = stored("red2")[:30]
    table = summarise(results, TABLE, resampling=FAST)
    wanted = {row.name: row.accuracy.value for row in table.selectors}
    for config in (HEPConfig(1, 80, 2), HEPConfig(5, 50, 3)):
        (row,) = family(tasks=30, selectors="lowest_centroid", config=config).summary.selectors
        name = f"lowest_centroid {config.top_percent:g}/{config.bottom_percent:g}/{config.consecutive_low}"
        assert row.accuracy.value == wanted[name]
    assert wanted["lowest_centroid 1/80/2"] != wanted["lowest_centroid 5/50/3"]


def test_the_numbers_are_those_of_the_statistics():
    results = stored("red2")[:6]
    selectors = selectors_in("lowest_centroid,centroid_weighted_vote")
    assert compare(results, selectors=selectors, resampling=FAST).summary == summarise(
        results, selectors, resampling=FAST
    )


def test_windows_that_no_rollout_fills_are_named():
    report = family(tasks=10, selectors="deepconf_mean,deepconf_tail,deepconf_bottom_window:window=16")
    assert report.unfilled.names == ("deepconf_tail",)
    assert report.unfilled.longest == max(len(c.trajectory) for r in stored("red2")[:10] for c in r.candidates)
    tail, mean = (
        next(row for row in report.summary.selectors if row.name == name) for name in ("deepconf_tail", "deepconf_mean")
    )
    assert tail.by_task == mean.by_task


def test_the_first_warning_is_kept():
    report = family(tasks=5)
    assert list(report.warning) == ["lowest_centroid"]
    assert "fewer than 3 phases" in report.warning["lowest_centroid"]


def test_selectors_by_name_with_settings():
    found = selectors_in(
        " lowest_centroid, deepconf_bottom_window:window=16:share=0.5,lowest_centroid:signal=surprisal"
    )
    assert list(found) == [
        "lowest_centroid",
        "deepconf_bottom_window(window=16, share=0.5)",
        "lowest_centroid(surprisal)",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "name one or more"),
        ("shortest,shortest", "each once"),
        ("best", "unknown selector 'best'"),
        ("deepconf_tail:window", "name:setting=value"),
        ("deepconf_tail:width=3", "the settings of deepconf_tail are window"),
        ("deepconf_tail:window=0", "at least 1"),
    ],
)
def test_names_of_no_selector_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        selectors_in(text)


def test_the_config_of_a_command_line():
    assert config_in("5, 50,3") == HEPConfig(5, 50, 3)


@pytest.mark.parametrize(("text", "said"), [("5,50", "1,80,2"), ("a,b,c", "1,80,2"), ("500,50,3", "from 0 to 100")])
def test_phases_that_are_no_settings_are_refused(text, said):
    with pytest.raises(ConfigError, match=said):
        config_in(text)


def test_rollouts_without_a_call_do_not_stop_it():
    report = small([task("a", [-1.0, -2.0], [1, 0], errors={0: "E: x", 1: "E: x"})])
    assert report.summary.selectors[0].fell_back == 1
