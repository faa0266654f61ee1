"""A pod made real on this machine from its manifest, as kubelet makes one: in the manifest's order, with what it says.

Containers are real processes in real namespaces (`container_lab`). What is not understood in a manifest is refused, so
that nothing of it is left out unseen; resources, seccomp and images beyond `IMAGES` are not made.
"""

import http.client
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Event
from typing import Any, Final

import container_lab
from container_lab import Container, Image, Mount, environment_of
from rules_lab import Namespace

type Json = dict[str, Any]

IMAGES: Final = {"kecs-init:1": Image.INIT, "kecs-sidecar:1": Image.SIDECAR}
PATIENCE_S: Final = 60
GATEWAY: Final = "10.244.0.1"
_NEVER_MADE: Final = {
    "resources",
    "image",
    "imagePullPolicy",
    "terminationMessagePolicy",
    "terminationMessagePath",
    "ports",
}
_LATER: Final = {"readinessProbe", "livenessProbe", "startupProbe"}
_KNOWN: Final = {"name", "command", "args", "env", "securityContext", "volumeMounts", "restartPolicy"}
_SECURITY: Final = {
    *("runAsUser", "runAsGroup", "runAsNonRoot", "privileged", "allowPrivilegeEscalation", "readOnlyRootFilesystem"),
    *("capabilities", "seccompProfile"),
}


class PodError(AssertionError):
    """The pod does not come up; with what its containers said."""


@dataclass(slots=True, kw_only=True)
class Running:
    """A container that was started."""

    spec: Container
    runner: subprocess.Popen[bytes]
    pid: int
    """Of its first process, as this machine counts."""
    log: Path

    def said(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def events(self, name: str) -> list[Json]:
        """Return the lines of a JSON log with that event."""
        lines = [json.loads(line) for line in self.said().splitlines() if line.startswith("{") and line.endswith("}")]
        return [line for line in lines if line.get("event") == name]

    def wait(self) -> int:
        return self.runner.wait(PATIENCE_S)

    def kill(self) -> None:
        """End it as the kernel does when memory is short."""
        os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """End it as kubelet does."""
        with suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGTERM)
        try:
            return self.runner.wait(5)
        except subprocess.TimeoutExpired:
            self.runner.kill()
            return self.wait()


@dataclass(slots=True, kw_only=True)
class Pod:
    """A pod on this machine."""

    manifest: Json
    ip: str
    directory: Path
    nameservers: tuple[str, ...]
    holder: subprocess.Popen[str]
    pid: int
    running: dict[str, Running] = field(default_factory=dict)

    @property
    def spec(self) -> Json:
        found: Json = self.manifest["spec"]
        return found

    @property
    def namespace(self) -> Namespace:
        return Namespace(self.pid, "net")

    def start(self) -> None:
        """Run init containers to their end, native sidecars until they have started, then all others."""
        for given in self.spec.get("initContainers") or ():
            if given.get("restartPolicy") == "Always":
                self._started(given)
            else:
                self.run_init(given["name"])
        for given in self.spec["containers"]:
            self._started(given)

    def run_init(self, name: str) -> None:
        """Run an init container to its end, which has to be a good one."""
        given = next(one for one in self.spec["initContainers"] if one["name"] == name)
        if code := self.launch(given).wait():
            raise PodError(f"init container {name} ended with {code}: {self.running[name].said()}")

    def _started(self, given: Json) -> None:
        made = self.launch(given)
        if "startupProbe" in given:
            self._probe(made, given["startupProbe"])

    def restart(self, name: str) -> Running:
        """Start a native sidecar again that has ended."""
        given = next(one for one in self.spec["initContainers"] if one["name"] == name)
        self._started(given)
        return self.running[name]

    def _probe(self, made: Running, probe: Json) -> None:
        """Ask as kubelet does, but sooner again: within the time that the probe allows."""
        deadline = time.monotonic() + probe.get("periodSeconds", 10) * probe.get("failureThreshold", 3)
        while (status := self.probe(probe)) != 200:
            if time.monotonic() > deadline or made.runner.poll() is not None:
                raise PodError(f"container {made.spec.name} does not start ({status}): {made.said()}")
            Event().wait(0.02)

    def probe(self, probe: Json) -> int:
        """Ask once from outside the pod; 0 where nobody answers."""
        asked = probe["httpGet"]
        connection = http.client.HTTPConnection(self.ip, asked["port"], timeout=probe.get("timeoutSeconds", 1))
        with closing(connection):
            try:
                connection.request("GET", asked["path"])
                return connection.getresponse().status
            except OSError:
                return 0

    def launch(self, given: Json) -> Running:
        """Start one container, whatever it was before."""
        spec = self._container(given)
        place = self.directory / f"{spec.name}.json"
        place.write_text(spec.to_json(), encoding="utf-8")
        log = self.directory / f"{spec.name}.log"
        with log.open("wb") as out, _pipe() as (told, tell):
            words = ["run", str(self.pid), str(place), str(self.directory / "pod"), str(tell)]
            runner = subprocess.Popen(
                [sys.executable, container_lab.__file__, *words],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                pass_fds=[tell],
                env={},
                start_new_session=True,
            )
            os.close(tell)
            pid = os.read(told, 20)
        self.running[spec.name] = made = Running(spec=spec, runner=runner, pid=int(pid or 0), log=log)
        if not pid:
            raise PodError(f"container {spec.name} can't be made: {made.said()}")
        return made

    def exec(self, name: str, *argv: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run one more program in a container, as `kubectl exec` does."""
        made = self.running[name]
        spec = replace(made.spec, argv=argv, environment={**made.spec.environment, **environment})
        place = self.directory / f"{name}-exec.json"
        place.write_text(spec.to_json(), encoding="utf-8")
        return subprocess.run(
            [sys.executable, container_lab.__file__, "exec", str(made.pid), str(place)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
            env={},
            check=False,
        )

    def python(self, program: str, *arguments: str, container: str = "app", **environment: str) -> str:
        """Run a Python program in a container; it has to end well."""
        done = self.exec(container, "python", "-c", program, *arguments, **environment)
        sidecar = self.running.get("aws-proxy-sidecar")
        assert done.returncode == 0, done.stderr + (sidecar.said()[-4000:] if sidecar else "")
        return done.stdout.strip()

    def file(self, volume: str, name: str) -> Path:
        """Say where this machine sees a file of a volume."""
        return Path(f"/proc/{self.pid}/root{self.directory}/pod/volumes", volume, name)

    def project(self, token: str) -> None:
        """Provide the projected token, or another one, as kubelet does: all files of a version at once."""
        for volume in self.spec.get("volumes") or ():
            for source in volume.get("projected", {}).get("sources", ()):
                place = self.file(volume["name"], "")
                version = place / f"..{time.monotonic_ns()}"
                version.mkdir()
                name = source["serviceAccountToken"]["path"]
                (version / name).write_text(token, encoding="ascii")
                (version / name).chmod(volume["projected"].get("defaultMode", 0o644))
                (place / "..new").symlink_to(version.name)
                (place / "..new").rename(place / "..data")
                if not (place / name).is_symlink():
                    (place / name).symlink_to(f"..data/{name}")

    # from the manifest

    def _container(self, given: Json) -> Container:
        _refuse_unknown(given, _KNOWN | _NEVER_MADE | _LATER, f"container {given['name']}")
        image = IMAGES.get(given["image"], Image.USER)
        security = {**(self.spec.get("securityContext") or {}), **(given.get("securityContext") or {})}
        _refuse_unknown(security, _SECURITY, "securityContext")
        capabilities = security.get("capabilities") or {}
        uid, gid = security.get("runAsUser", 0), security.get("runAsGroup", 0)
        if security.get("runAsNonRoot") and not uid:
            raise PodError(f"container {given['name']} has runAsNonRoot and would run as root")
        return Container(
            name=given["name"],
            image=image,
            argv=(*given["command"], *(given.get("args") or ())),
            environment={**environment_of(image), "HOSTNAME": self.manifest["metadata"]["name"], **self._env(given)},
            uid=uid,
            gid=gid,
            drops_all="ALL" in capabilities.get("drop", ()),
            adds=tuple(capabilities.get("add", ())),
            no_new_privileges=security.get("allowPrivilegeEscalation") is False,
            read_only_root=security.get("readOnlyRootFilesystem", False),
            mounts=tuple(_mount(one) for one in given.get("volumeMounts") or ()),
            files={"/etc/hosts": self._hosts(), "/etc/resolv.conf": self._resolv_conf()},
        )

    def _env(self, given: Json) -> dict[str, str]:
        found: dict[str, str] = {}
        for entry in given.get("env") or ():
            if "valueFrom" in entry:
                found[entry["name"]] = self._field(entry["valueFrom"]["fieldRef"]["fieldPath"])
            else:
                found[entry["name"]] = entry.get("value", "")
                assert "$(" not in found[entry["name"]], "references to variables are not made here"
        return found

    def _field(self, path: str) -> str:
        if path == "status.podIP":
            return self.ip
        section, name = path.split(".")
        return str(self.manifest[section][name])

    def _hosts(self) -> str:
        lines = ["127.0.0.1 localhost", "::1 localhost", f"{self.ip} {self.manifest['metadata']['name']}"]
        lines += [f"{one['ip']} {' '.join(one['hostnames'])}" for one in self.spec.get("hostAliases") or ()]
        return "\n".join([*lines, ""])

    def _resolv_conf(self) -> str:
        where = self.manifest["metadata"]["namespace"]
        searched = " ".join((f"{where}.svc.cluster.local", "svc.cluster.local", "cluster.local"))
        own = self.spec.get("dnsPolicy") == "None"
        servers = [f"nameserver {one}" for one in (self.spec["dnsConfig"]["nameservers"] if own else self.nameservers)]
        return "\n".join([f"search {searched}", *servers, "options ndots:5", ""])


def _mount(given: Json) -> Mount:
    _refuse_unknown(given, {"name", "mountPath", "readOnly", "subPath"}, "volumeMount")
    return Mount(
        volume=given["name"],
        path=given["mountPath"],
        part=given.get("subPath", ""),
        read_only=given.get("readOnly", False),
    )


def _refuse_unknown(given: Json, known: Collection[str], what: str) -> None:
    if unknown := sorted(set(given) - set(known)):
        raise PodError(f"{what} has {', '.join(unknown)}, which is not made here")


def _volumes(spec: Json) -> dict[str, str]:
    """Return each volume's size."""
    found = {}
    for one in spec.get("volumes") or ():
        _refuse_unknown(one, {"name", "emptyDir", "projected"}, "volume")
        size = (one.get("emptyDir") or {}).get("sizeLimit", "")
        found[one["name"]] = size.removesuffix("i").lower()
    return found


@contextmanager
def _pipe() -> Iterator[tuple[int, int]]:
    """Yield both ends; whoever is done with the writing end closes it."""
    ends = os.pipe()
    try:
        yield ends
    finally:
        os.close(ends[0])


@contextmanager
def pod(
    manifest: Json, directory: Path, *, outside: Namespace, ip: str, nameservers: tuple[str, ...], token: str
) -> Iterator[Pod]:
    """Make a pod's sandbox, joined to the network outside by a cable; it and all in it end with the block."""
    name = manifest["metadata"]["name"]
    (directory / "pod").mkdir(parents=True)
    words = ["sandbox", str(directory / "pod"), name, json.dumps(_volumes(manifest["spec"]))]
    command = [sys.executable, container_lab.__file__, *words]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env={}) as holder:
        assert holder.stdin
        assert holder.stdout
        pid = int(holder.stdout.readline())
        made = Pod(manifest=manifest, ip=ip, directory=directory, nameservers=nameservers, holder=holder, pid=pid)
        try:
            _join(outside, made)
            made.project(token)
            yield made
        finally:
            for one in reversed(made.running.values()):
                one.stop()
            holder.stdin.close()


def _join(outside: Namespace, made: Pod) -> None:
    cable = f"pod{made.ip.rpartition('.')[2]}"
    outside.ip(
        f"link add {cable} type veth peer name eth0 netns {made.pid}\n"
        f"addr add {GATEWAY}/32 dev {cable}\n"
        f"link set {cable} up\n"
        f"route add {made.ip}/32 dev {cable}\n"
    )
    made.namespace.ip(
        f"link set lo up\naddr add {made.ip}/32 dev eth0\nlink set eth0 up\n"
        f"route add {GATEWAY}/32 dev eth0\nroute add default via {GATEWAY}\n"
    )
