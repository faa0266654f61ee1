import contextlib
import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tasks_lab import container

from kecs.controlplane.simulated_behaviour import LABEL, MEMBERS, VARIABLE, Behaviour, BehaviourError, behaviour

FOR_EVER = Behaviour()


def ends(code: int, after: float = 0.0) -> Behaviour:
    return Behaviour(exit_code=code, after_s=after)


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param([], FOR_EVER, id="none"),
        pytest.param(["nginx"], FOR_EVER, id="any other"),
        pytest.param(["true"], ends(0), id="true"),
        pytest.param(["false"], ends(1), id="false"),
        pytest.param(["sleep", "5"], ends(0, 5), id="sleep"),
        pytest.param(["sleep", "0.5s"], ends(0, 0.5), id="sleep less than a second"),
        pytest.param(["sleep", "infinity"], FOR_EVER, id="sleep for ever"),
        pytest.param(["sh", "-c", "exit 3"], ends(3), id="exit"),
        pytest.param(["/bin/bash", "-c", "exit 300"], ends(44), id="exit codes have eight bits"),
        pytest.param(["sh", "-c", "echo hello world; sleep 2 && exit 3"], ends(3, 2), id="steps"),
        pytest.param(["sh", "-c", "false; exit"], ends(1), id="exit with the last one's"),
        pytest.param(["sh", "-c", "false && sleep 5; sleep 1"], ends(0, 1), id="what comes only after success"),
        pytest.param(["sh", "-c", "false && exit 5"], ends(1), id="an exit that is not reached"),
        pytest.param(["sh", "-c", "exit 1; sleep 100"], ends(1), id="nothing comes after an exit"),
        pytest.param(["sh", "-c", "sleep 1 || exit 3"], FOR_EVER, id="or"),
        pytest.param(["sh", "-c", "sleep 1 & exit 3"], FOR_EVER, id="in the background"),
        pytest.param(["sh", "-c", "exit $CODE"], FOR_EVER, id="a variable"),
        pytest.param(["sh", "-c", "echo `sleep 5`"], FOR_EVER, id="a substitution"),
        pytest.param(["sh", "-c", "echo $(sleep 5)"], FOR_EVER, id="another"),
        pytest.param(["sh", "-c", "python serve.py; exit 0"], FOR_EVER, id="a program"),
        pytest.param(["sh", "-c", "sleep 1\nexit 3"], FOR_EVER, id="lines"),
        pytest.param(["sh", "-c", "echo 'unfinished"], FOR_EVER, id="a quote that is not closed"),
        pytest.param(["sh", "script.sh"], FOR_EVER, id="a script's file"),
    ],
)
def test_a_command_that_only_waits_and_ends_is_understood(command: list[str], expected: Behaviour) -> None:
    assert behaviour(container("app", command=command)) == expected


def test_an_entry_point_comes_before_the_command() -> None:
    assert behaviour(container("app", entryPoint=["sh", "-c"], command=["exit 4"])) == ends(4)


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        pytest.param("nginx:latest", "", id="any"),
        pytest.param("library/does-not-exist-yet:1", "", id="a name that begins so"),
        pytest.param(
            "does-not-exist:latest",
            "pull image manifest has been retried 1 time(s): failed to resolve ref "
            "docker.io/library/does-not-exist:latest: pull access denied, repository does not exist or may require "
            "authorization: server message: insufficient_scope: authorization failed",
            id="a repository that there is not",
        ),
        pytest.param(
            "registry.invalid:5000/app@sha256:00",
            "pull image manifest has been retried 1 time(s): failed to resolve ref "
            "registry.invalid:5000/app@sha256:00: failed to do request: dial tcp: lookup registry.invalid: "
            "no such host",
            id="a registry that can't be",
        ),
    ],
)
def test_images_that_can_t_be_there(image: str, expected: str) -> None:
    assert behaviour(container("app", image=image)).pull_failure == expected


def test_a_label_says_all() -> None:
    said = {
        "exitCode": 3,
        "afterSeconds": 2,
        "reason": "OutOfMemoryError: Container killed due to memory usage",
        "healthy": False,
        "unhealthyAfterSeconds": 1.5,
        "stopSeconds": 4,
        "stopExitCode": 0,
        "pullFailure": "no",
        "startFailure": "no",
    }
    assert behaviour(container("app", dockerLabels={LABEL: json.dumps(said)})) == Behaviour(
        exit_code=3,
        after_s=2,
        reason="OutOfMemoryError: Container killed due to memory usage",
        healthy=False,
        unhealthy_after_s=1.5,
        stop_s=4,
        stop_exit_code=0,
        pull_failure="no",
        start_failure="no",
    )


def test_the_variable_goes_before_the_label_and_both_before_command_and_image() -> None:
    said = container(
        "app",
        image="does-not-exist",
        command=["false"],
        dockerLabels={LABEL: '{"exitCode": 1}'},
        environment=[{"name": "A", "value": "x"}, {"name": VARIABLE, "value": '{"exitCode": 2}'}],
    )
    assert behaviour(said) == ends(2)
    assert behaviour({**said, "environment": []}) == ends(1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("{", "is no JSON: '{'", id="no JSON"),
        pytest.param("[]", "is no JSON object: '[]'", id="no object"),
        pytest.param('{"exit": 1}', "has unknown members ['exit']", id="unknown"),
        pytest.param('{"exitCode": "1"}', "has exitCode '1': it must be a int", id="the wrong kind"),
        pytest.param('{"exitCode": true}', "has exitCode True: it must be a int", id="a boolean is no number"),
        pytest.param('{"afterSeconds": -1}', "has afterSeconds -1", id="below zero"),
    ],
)
def test_what_can_t_be_understood_is_told(text: str, message: str) -> None:
    with pytest.raises(BehaviourError) as raised:
        behaviour(container("app", dockerLabels={LABEL: text}))
    assert f"{LABEL} {message}" in raised.value.message


@given(st.text(alphabet="slepxit 0123;&|'\"$`\n-ctruefalsho()\\"), st.text(max_size=20))
def test_anything_is_a_behaviour_or_our_error(script: str, text: str) -> None:
    found = behaviour(container("app", command=["sh", "-c", script]))
    assert found.exit_code is None or 0 <= found.exit_code < 256
    with contextlib.suppress(BehaviourError):
        behaviour(container("app", dockerLabels={LABEL: text}))


PAGE = (Path(__file__).parents[2] / "docs" / "ecs-simulated.md").read_text("utf-8")


def test_the_page_says_every_member_and_no_other() -> None:
    assert re.findall(r"^ +\| `(\w+)` \|", PAGE, re.MULTILINE) == list(MEMBERS)


@pytest.mark.parametrize("sample", re.findall(r"```json\n(.+?)\n```", PAGE, re.DOTALL))
def test_the_page_s_examples_are_understood(sample: str) -> None:
    assert behaviour(container("app", dockerLabels={LABEL: sample})) != FOR_EVER
