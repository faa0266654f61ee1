"""What the authority is asked and what it says stand in one object, to which several may write at once."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.kube import ConflictError, Kube
from kecs.certs.mailbox import Mailbox
from kecs.certs.requests import OVER, Report, Request, Stage, Wish
from kecs.core.names import ROTATION_CONFIG_MAP

NAMESPACE = "kecs-system"
RUNNING = Report(id="one", stage=Stage.RUNNING)


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as api:
        api.put("namespaces", {"metadata": {"name": NAMESPACE}})
        yield api


@pytest.fixture
def mailbox(api: ApiServer, tmp_path: Path) -> Iterator[Mailbox]:
    kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    try:
        yield Mailbox(kube=kube, namespace=NAMESPACE)
    finally:
        kube.close()


def said(mailbox: Mailbox) -> Report | None:
    return mailbox.read().report


@pytest.mark.parametrize("late", sorted(Stage))
def test_who_is_slower_does_not_take_back_that_something_is_done(mailbox: Mailbox, late: Stage) -> None:
    mailbox.ask(Request(id="one", wish=Wish.IMPORT), mailbox.read())
    done = Report(id="one", stage=Stage.DONE, steps=("import: it is in use",))
    mailbox.report(done)
    mailbox.report(Report(id="one", stage=late, reasons=("there is no Secret",)))
    assert said(mailbox) == done
    assert mailbox.read().pending is None


@pytest.mark.parametrize("early", sorted(OVER - {Stage.DONE}))
def test_who_is_refused_what_another_does_has_not_the_last_word(mailbox: Mailbox, early: Stage) -> None:
    mailbox.ask(Request(id="one", wish=Wish.ROTATE), mailbox.read())
    mailbox.report(Report(id="one", stage=early, reasons=("not_prepared",)))
    for stage in (Stage.RUNNING, Stage.DONE):
        mailbox.report(Report(id="one", stage=stage))
        assert said(mailbox) == Report(id="one", stage=stage)


def test_what_is_not_over_goes_on_and_another_request_has_its_own_report(mailbox: Mailbox) -> None:
    mailbox.ask(Request(id="one", wish=Wish.RENEW), mailbox.read())
    for stage in (Stage.RUNNING, Stage.WAITING, Stage.RUNNING, Stage.DONE):
        mailbox.report(Report(id="one", stage=stage))
        assert said(mailbox) == Report(id="one", stage=stage)
    mailbox.ask(Request(id="two", wish=Wish.RENEW), mailbox.read())
    assert said(mailbox) is None
    mailbox.report(Report(id="two", stage=Stage.RUNNING))
    assert said(mailbox) == Report(id="two", stage=Stage.RUNNING)


@pytest.mark.parametrize("meanwhile", [Stage.DONE, Stage.RUNNING])
def test_what_is_said_between_a_look_and_its_report_counts(api: ApiServer, mailbox: Mailbox, meanwhile: Stage) -> None:
    mailbox.ask(Request(id="one", wish=Wish.IMPORT), mailbox.read())
    other = Mailbox(kube=mailbox.kube, namespace=NAMESPACE)
    first = Report(id="one", stage=meanwhile, reasons=("the other",))
    api.faults.append(Fault(method="GET", path=ROTATION_CONFIG_MAP, between=lambda: other.report(first)))
    mailbox.report(Report(id="one", stage=Stage.WAITING))
    found = said(mailbox)
    assert found is not None
    assert found.stage is (Stage.DONE if meanwhile is Stage.DONE else Stage.WAITING)


def test_what_is_asked_meanwhile_stays(api: ApiServer, mailbox: Mailbox) -> None:
    mailbox.report(RUNNING)
    asked = json.dumps({"id": "two", "action": "renew"})
    path = f"/api/v1/namespaces/{NAMESPACE}/configmaps/{ROTATION_CONFIG_MAP}"

    def ask() -> None:
        mailbox.kube.patch(path, {"data": {"request": asked}})

    api.faults.append(Fault(method="GET", path=ROTATION_CONFIG_MAP, between=ask))
    mailbox.report(Report(id="one", stage=Stage.DONE))
    letter = mailbox.read()
    assert letter.request == Request(id="two", wish=Wish.RENEW)
    assert letter.last == "one"


def test_a_report_is_given_up_when_others_write_all_the_time(api: ApiServer, mailbox: Mailbox) -> None:
    mailbox.report(RUNNING)
    api.faults.append(Fault(method="PATCH", path=ROTATION_CONFIG_MAP, status=409, times=4))
    mailbox.report(Report(id="one", stage=Stage.WAITING))
    assert said(mailbox) is None  # nobody has asked
    assert mailbox.read().last == "one"
    api.faults.append(Fault(method="PATCH", path=ROTATION_CONFIG_MAP, status=409, times=5))
    with pytest.raises(ConflictError, match="injected"):
        mailbox.report(Report(id="one", stage=Stage.DONE))
