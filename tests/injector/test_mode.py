"""The truth table of `mode`, read from its docstring: every combination of marks, against the first row that fits."""

import itertools
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import pytest

from kecs.core.settings import ProxyMode
from kecs.injector.mode import Decision, Marks, Refusal, mode
from kecs.injector.reason import SENTENCES, Reason

ENABLED = "kecs.io/aws-proxy-enabled"
LEGACY = "kecs.io/inject-aws-proxy"
MODE = "kecs.io/aws-proxy-mode"
LABEL = "kecs.io/aws-proxy"
MODES = tuple(ProxyMode)
ACTIVE = {ProxyMode.ENVIRONMENT, ProxyMode.SIDECAR, ProxyMode.AUTO}


class Row(NamedTuple):
    enabled: str
    mode: str
    label: str
    namespace_label: str
    namespace_mode: str
    holds: str
    reason: str


def rows() -> list[Row]:
    lines = [line.strip() for line in (mode.__doc__ or "").splitlines() if line.strip().startswith("|")]
    return [Row(*(cell.strip() for cell in line.strip("|").split("|"))) for line in lines[2:]]


def fits(cell: str, value: str | None) -> bool:
    return cell in {"*", "-" if value is None else value} or (cell == "M" and value in ACTIVE)


def expected(row: Row, pod: str | None, namespace: str | None, default: ProxyMode) -> str:
    return {"M": (pod or namespace or ""), "default": default.value}.get(row.holds, row.holds)


def marks(annotations: Mapping[str, str | None], label: str | None) -> Marks:
    return Marks(
        labels={} if label is None else {LABEL: label},
        annotations={name: value for name, value in annotations.items() if value is not None},
    )


def combinations() -> Iterator[tuple[str | None, ...]]:
    on_off, label = (None, "true", "false"), (None, "enabled", "disabled")
    return itertools.product(on_off, (None, *MODES), label, label, (None, *MODES))


@pytest.mark.parametrize("default", MODES)
@pytest.mark.parametrize("spelling", [ENABLED, LEGACY])
def test_every_combination_is_the_first_row_that_fits(spelling: str, default: ProxyMode) -> None:
    used = set()
    for given in combinations():
        enabled, pod_mode, label, namespace_label, namespace_mode = given
        row = next(row for row in rows() if all(map(fits, row[:5], given)))
        used.add(row)
        found = mode(
            marks({spelling: enabled, MODE: pod_mode}, label), marks({MODE: namespace_mode}, namespace_label), default
        )
        assert isinstance(found, Decision)
        assert (found.mode, found.reason) == (expected(row, pod_mode, namespace_mode, default), row.reason), given
    assert used == set(rows())


def test_every_reason_has_its_sentence() -> None:
    assert {row.reason for row in rows()} < set(Reason) == set(SENTENCES)
    assert all("\n" not in sentence for sentence in SENTENCES.values())


def decide(pod: Marks, namespace: Marks | None = None) -> Decision:
    found = mode(pod, namespace or Marks(), ProxyMode.ENVIRONMENT)
    assert isinstance(found, Decision)
    return found


@pytest.mark.parametrize(
    ("pod", "namespace", "warnings"),
    [
        pytest.param(Marks(), Marks(), (), id="nothing said"),
        pytest.param(
            Marks(annotations={LEGACY: "true"}),
            Marks(),
            (f"annotation {LEGACY} is the older name of {ENABLED}",),
            id="older name",
        ),
        pytest.param(Marks(annotations={LEGACY: "true", ENABLED: "true"}), Marks(), (), id="both names agree"),
        pytest.param(
            Marks(annotations={LEGACY: "true", ENABLED: "false"}),
            Marks(),
            (f'annotation {LEGACY} is "true", but {ENABLED} is "false" and holds',),
            id="both names disagree",
        ),
        pytest.param(
            Marks(annotations={ENABLED: "false", MODE: "sidecar"}),
            Marks(),
            (f'annotation {MODE} is "sidecar" without effect: {SENTENCES[Reason.POD_DISABLED]}',),
            id="off, with a mode",
        ),
        pytest.param(
            Marks(annotations={ENABLED: "true"}),
            Marks(labels={LABEL: "disabled"}),
            (f"the pod asks for the proxy without effect: {SENTENCES[Reason.NAMESPACE_DISABLED]}",),
            id="on, in a namespace that is off",
        ),
        pytest.param(
            Marks(annotations={ENABLED: "true", MODE: "disabled"}),
            Marks(),
            (f'annotation {ENABLED} is "true" without effect: {MODE} is "disabled"',),
            id="on, with the mode disabled",
        ),
        pytest.param(
            Marks(),
            Marks(annotations={MODE: "sidecar"}),
            (f"the namespace names a mode, but has no label {LABEL}=enabled",),
            id="namespace without its label",
        ),
        pytest.param(
            Marks(labels={LABEL: "enabled"}),
            Marks(annotations={MODE: "disabled"}),
            (f'the namespace\'s annotation {MODE} is "disabled", which this pod overrides',),
            id="pod overrides its namespace",
        ),
    ],
)
def test_warnings(pod: Marks, namespace: Marks, warnings: tuple[str, ...]) -> None:
    assert decide(pod, namespace).warnings == warnings


def test_all_wrong_values_are_named_at_once() -> None:
    pod = Marks(labels={LABEL: "on"}, annotations={MODE: "Sidecar", ENABLED: "yes", LEGACY: ""})
    namespace = Marks(labels={LABEL: "true"}, annotations={MODE: "ebpf", ENABLED: "not read here"})
    assert mode(pod, namespace, ProxyMode.SIDECAR) == Refusal(
        sentences=(
            f'pod label {LABEL} is "on"; it may be enabled, disabled',
            f'pod annotation {MODE} is "Sidecar"; it may be environment, sidecar, disabled, auto',
            f'pod annotation {ENABLED} is "yes"; it may be true, false',
            f'pod annotation {LEGACY} is ""; it may be true, false',
            f'namespace label {LABEL} is "true"; it may be enabled, disabled',
            f'namespace annotation {MODE} is "ebpf"; it may be environment, sidecar, disabled, auto',
        )
    )
