"""What is made of samples: table, promises, page and plot."""

from xml.etree import ElementTree as ET

import pytest

from benchmarks.relay import page, svg, table
from benchmarks.relay.arms import ARMS, find
from benchmarks.relay.figures import Sample, Spread
from benchmarks.relay.loads import LOADS, QUICK
from benchmarks.relay.report import Report
from benchmarks.relay.targets import TARGETS, Target, Verdict


def samples(*, ours: float = 50.0, rounds: int = 3) -> list[Sample]:
    """Make what every arm could do under every load."""
    found = []
    measures = {measure.name for measure in table.MEASURES} - {"errors"}
    for load in LOADS.values():
        for number in range(rounds):
            for arm in ARMS:
                value = (ours if arm == "ours" else 100.0) * (1 + number / 10)
                values = {**dict.fromkeys(measures, value), "load_average": 1.0 + number}
                found.append(Sample(load=load.name, arm=arm, round=number, values=values))
    return found


def report(found: list[Sample]) -> Report:
    return Report(machine={"cores": "2 of a <kind> & more"}, rounds=3, seconds=2, samples=found)


def test_a_table_has_eighty_columns_and_says_medians_spread_and_shares() -> None:
    text = table.render(samples(), "nginx-sni")
    assert max(map(len, text.splitlines())) <= 80
    assert "  per second          direct            110         100-120     1.00 [1.00-1.00]" in text.splitlines()
    assert "                      ours               55           50-60     0.50 [0.50-0.50]" in text.splitlines()
    assert "                      nginx-sni         110         100-120" in text.splitlines()


def test_errors_are_in_the_table_where_there_are_any() -> None:
    values = {"rate": 1.0, "errors": 0.0}
    quiet = [Sample(load="small", arm="ours", round=0, values=values)]
    loud = [*quiet, Sample(load="small", arm="ours", round=1, values=values | {"errors": 3.0})]
    assert "errors" not in table.render(quiet, "nginx-sni")
    assert "errors" in table.render(loud, "nginx-sni")


@pytest.mark.parametrize(
    ("more", "median", "verdict"),
    [
        pytest.param(True, 1.2, Verdict.GOAL, id="above the goal"),
        pytest.param(True, 1.0, Verdict.GOAL, id="at the goal"),
        pytest.param(True, 0.9, Verdict.MUST, id="between"),
        pytest.param(True, 0.7, Verdict.MISSED, id="below what must be"),
        pytest.param(False, 0.7, Verdict.GOAL, id="less than the goal"),
        pytest.param(False, 1.2, Verdict.MUST, id="more than the goal"),
        pytest.param(False, 1.7, Verdict.MISSED, id="more than may be"),
    ],
)
def test_a_promise_is_judged_by_its_median(more: bool, median: float, verdict: Verdict) -> None:  # noqa: FBT001 - a table
    must, goal = (0.75, 1.0) if more else (1.6, 1.0)
    target = Target(title="a figure", load="small", measure="rate", must=must, goal=goal, more=more)
    assert target.verdict(Spread(median=median, low=0, high=9, rounds=5)) is verdict


def test_without_a_figure_a_promise_is_not_measured() -> None:
    assert {target.verdict(target.found([])) for target in TARGETS} == {Verdict.UNKNOWN}


def test_every_promise_is_of_a_load_and_a_measure_that_exist() -> None:
    measures = {measure.name for measure in table.MEASURES}
    for target in TARGETS:
        assert target.load in LOADS
        assert target.measure in measures
        assert target.against in ("", *ARMS)
        assert not target.against or LOADS[target.load].suits(ARMS[target.against])
        assert LOADS[target.load].suits(ARMS["ours"])
    assert set(QUICK) <= set(LOADS)


def test_the_page_has_a_row_for_every_promise() -> None:
    text = page.render(report(samples()))
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert len(rows) == len(TARGETS) + 1
    first = "| 1 KB keep-alive, 10 connections, req/s, of nginx-sni | ≥ 0.75x | ≥ 1.00x | 0.50x | 0.50-0.50 | missed | "
    assert rows[1] == first + "nginx-tls 1.00x, haproxy 1.00x, mitmdump 1.00x, direct 1.00x |"
    assert "Load average during the run: 1.0 to 3.0." in text
    assert "Every measurement succeeded." in text
    assert "ssl_preread on;" in text
    assert "$" not in text.replace("$ssl_preread", "").split("```nginx", maxsplit=1)[0]


def test_the_page_names_what_failed() -> None:
    failed = Sample(load="up-256", arm="mitmdump", round=1, values={}, failure="error: cut\nand more")
    assert "- up-256, round 2, mitmdump: error: cut\n" in page.render(report([*samples(), failed]))


def test_a_page_can_be_written_of_a_run_that_measured_little() -> None:
    few = [Sample(load="small-c10", arm="ours", round=0, values={"rate": 1.0})]
    assert "| not measured |" in page.render(report(few))
    ET.fromstring(page.plot(report(few)))  # noqa: S314 - our own


def test_the_plot_is_well_formed_and_has_a_bar_for_every_arm() -> None:
    root = ET.fromstring(page.plot(report(samples(ours=2.0))))  # noqa: S314 - our own
    texts = [one.text for one in root.iter("{http://www.w3.org/2000/svg}text")]
    assert texts.count("ours") == texts.count("mitmdump") == 14
    assert any(text and text.endswith("(logarithmic)") for text in texts)


def test_bars_keep_within_the_picture() -> None:
    bars = [("a", Spread(median=1, low=1, high=1, rounds=1)), ("b", Spread(median=900, low=1, high=1000, rounds=2))]
    root = ET.fromstring(svg.draw([svg.Panel(title="1 < 2", bars=bars), svg.Panel(title="none", bars=[])]))  # noqa: S314
    boxes = [one for one in root.iter("{http://www.w3.org/2000/svg}rect") if one.get("x")]
    ends = [float(one.get("x", "")) + float(one.get("width", "")) for one in boxes]
    assert len(ends) == 2
    assert max(ends) < 400


def test_a_report_survives_its_file() -> None:
    kept = report([Sample(load="small", arm="ours", round=1, values={"rate": 1.25}), *samples(rounds=1)])
    assert Report.from_json(kept.to_json()) == kept


def test_an_arm_can_be_a_revision_of_the_sidecar() -> None:
    assert find("ours@HEAD~1").name == "ours@HEAD~1"
    for unknown in ("theirs", "nginx-sni@HEAD", "ours@"):
        with pytest.raises(KeyError):
            find(unknown)
