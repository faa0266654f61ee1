from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from kube_lab import ApiServer, Fault, api_server

from kecs.certs.kube import Kube
from kecs.certs.mirror import Mirror

PATH = "/api/v1/namespaces"


@pytest.fixture
def api() -> Iterator[ApiServer]:
    with api_server() as found:
        yield found


def mirrored(api: ApiServer, directory: Path, **options: Any) -> Mirror:
    kube = Kube.load(kubeconfig=str(api.kubeconfig(directory)))
    mirror = Mirror(kube, PATH, reduce=lambda found: found["metadata"].get("labels"), **options)
    mirror.start()
    return mirror


def namespace(name: str, **labels: str) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": labels}}


def test_it_follows(api: ApiServer, tmp_path: Path) -> None:
    api.put("namespaces", namespace("a", x="1"))
    mirror = mirrored(api, tmp_path)
    assert mirror.wait(20)
    assert (mirror.get("a"), mirror.get("b")) == ({"x": "1"}, None)
    api.put("namespaces", namespace("b"))
    api.put("namespaces", namespace("a", x="2"))
    api.wait(lambda: mirror.get("a") == {"x": "2"} and mirror.get("b") == {})
    api.remove("namespaces", "a")
    api.wait(lambda: mirror.get("a") is None)
    assert mirror.values() == ({},)
    mirror.close()


def test_what_was_missed_is_found_by_listing_anew(api: ApiServer, tmp_path: Path) -> None:
    api.put("namespaces", namespace("a"))
    mirror = mirrored(api, tmp_path, watch_s=1)
    assert mirror.wait(20)
    api.compact()
    api.put("namespaces", namespace("b", fresh="yes"))
    api.wait(lambda: mirror.get("b") == {"fresh": "yes"})
    mirror.close()


def test_while_the_api_server_is_away_the_copy_stays(api: ApiServer, tmp_path: Path) -> None:
    api.put("namespaces", namespace("a", x="1"))
    mirror = mirrored(api, tmp_path, watch_s=1)
    assert mirror.wait(20)
    away = Fault(status=503, times=3)
    api.faults.append(away)
    api.wait(lambda: bool(mirror.failure))
    assert mirror.get("a") == {"x": "1"}
    api.put("namespaces", namespace("b"))
    api.wait(lambda: mirror.get("b") == {} and not mirror.failure)
    assert away.times == 0
    mirror.close()


def test_without_permission_it_says_so(api: ApiServer, tmp_path: Path) -> None:
    api.faults.append(Fault(status=403, times=1000, message="namespaces is forbidden"))
    mirror = mirrored(api, tmp_path)
    api.wait(lambda: mirror.failure == "namespaces is forbidden")
    assert not mirror.listed
    mirror.close()


def test_changes_are_told(api: ApiServer, tmp_path: Path) -> None:
    told: list[int] = []
    mirror = mirrored(api, tmp_path, changed=lambda: told.append(1))
    api.wait(lambda: len(told) == 1)
    api.put("namespaces", namespace("a"))
    api.wait(lambda: len(told) == 2)
    mirror.close()


def test_an_object_that_cannot_be_understood_is_told_and_tried_again(api: ApiServer, tmp_path: Path) -> None:
    api.put("namespaces", {"metadata": {"name": "odd", "labels": "none"}})
    kube = Kube.load(kubeconfig=str(api.kubeconfig(tmp_path)))
    mirror = Mirror(kube, PATH, reduce=lambda found: found["metadata"]["labels"]["x"])
    mirror.start()
    api.wait(lambda: mirror.failure.startswith("TypeError"))
    api.put("namespaces", namespace("odd", x="1"))
    api.wait(lambda: mirror.get("odd") == "1" and not mirror.failure)
    mirror.close()
