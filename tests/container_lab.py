"""What a container runtime does for a pod, small: a sandbox with volumes; containers with a root of their own each.

As a program it is the sandbox (`sandbox`), a container (`run`) or one more process in a container (`exec`); tests
import the rest. Not made: seccomp, cgroups, and the difference between images beyond what `Image` says.
"""

import ctypes
import json
import os
import re
import shutil
import signal
import socket
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from kecs.local import syscalls

ROOT: Final = Path(__file__).parents[1]
PUBLIC_ROOTS: Final = "/etc/ssl/certs/ca-certificates.crt"
_SHARED: Final = os.CLONE_NEWNET | os.CLONE_NEWIPC | os.CLONE_NEWUTS
_MS_RDONLY, _MS_NOSUID, _MS_NODEV, _MS_REMOUNT, _MS_BIND, _MS_REC, _MS_PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_SYSTEM: Final = ("bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr")
_DEVICES: Final = ("null", "zero", "full", "random", "urandom")
_BOUND: Final = ("ssl", "alternatives")
_COPIED: Final = ("ld.so.cache", "protocols", "services")
_USUAL: Final = (
    *("chown", "dac_override", "fowner", "fsetid", "kill", "setgid", "setuid", "setpcap", "net_bind_service"),
    *("net_raw", "sys_chroot", "mknod", "audit_write", "setfcap"),
)
"""What container runtimes leave to root."""
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


class Image(StrEnum):
    """What a container's root holds, beside this machine's /usr."""

    INIT = "init"
    """At /opt/kecs what the Dockerfile's target `init` copies there; neither the project nor its environment."""
    SIDECAR = "sidecar"
    """At /opt/kecs the project's environment, at its own place the project."""
    USER = "user"
    """At /opt/app an environment in which boto3 is installed, and the project is not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mount:
    """A volume, or a file of it, as a container sees it."""

    volume: str
    path: str
    part: str = ""
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """All that a runtime is told."""

    name: str
    image: Image
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    uid: int = 0
    gid: int = 0
    drops_all: bool = False
    adds: tuple[str, ...] = ()
    no_new_privileges: bool = False
    read_only_root: bool = False
    mounts: tuple[Mount, ...] = ()
    files: Mapping[str, str] = field(default_factory=dict)
    """What kubelet provides: /etc/hosts, /etc/resolv.conf."""

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Container":
        given: dict[str, Any] = json.loads(text)
        mounts = tuple(Mount(**one) for one in given.pop("mounts"))
        return cls(**given | {"image": Image(given["image"]), "mounts": mounts})

    @property
    def door(self) -> list[str]:
        """The command that takes away what the container may not do, and becomes its program."""
        kept = [*(() if self.drops_all else _USUAL), *(one.lower() for one in self.adds)]
        bounds = ",".join(["-all", *(f"+{one}" for one in kept)])
        privileges = ["--no-new-privs"] if self.no_new_privileges else []
        ids = [f"--reuid={self.uid}", f"--regid={self.gid}", "--clear-groups"]
        sets = [f"--bounding-set={bounds}", "--inh-caps=-all", "--ambient-caps=-all", "--pdeathsig=KILL"]
        return ["/usr/bin/setpriv", *ids, *sets, *privileges, "--", *self.argv]


def image_environment(target: str) -> dict[str, str]:
    """Read what the Dockerfile's target sets, and what it is made from."""
    text = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    stages = re.findall(r"^FROM (\S+) AS (\S+)\n((?:(?!FROM ).*\n?)*)", text, re.MULTILINE)
    bases = {name: base for base, name, _ in stages}
    found: dict[str, str] = {}
    while target in bases:
        lines = next(body for _, name, body in stages if name == target)
        for line in re.findall(r"^ENV (.*)$", lines, re.MULTILINE):
            found = dict(pair.split("=", 1) for pair in line.split()) | found
        target = bases[target]
    return found


def environment_of(image: Image) -> dict[str, str]:
    """Say what an image sets."""
    if image is not Image.USER:
        return image_environment(image.value)
    return {"PATH": "/opt/app/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/tmp"}


# --- the sandbox


def sandbox(directory: Path, name: str, volumes: Mapping[str, str]) -> None:
    """Hold the pod's namespaces and volumes until standard input ends. `volumes`: name to size."""
    os.unshare(_SHARED | os.CLONE_NEWNS)
    socket.sethostname(name[:63])
    _mount("none", Path("/"), flags=_MS_REC | _MS_PRIVATE)
    _mount("tmpfs", directory, "tmpfs")
    for volume, size in volumes.items():
        place = directory / "volumes" / volume
        place.mkdir(parents=True)
        _mount("tmpfs", place, "tmpfs", flags=_MS_NOSUID | _MS_NODEV, data=f"mode=0777{size and f',size={size}'}")
    (directory / "root").mkdir()
    print(os.getpid(), flush=True)  # noqa: T201 - the program's output
    sys.stdin.read()


def _mount(source: object, target: Path, kind: str = "", *, flags: int = 0, data: str = "") -> None:
    arguments = [os.fsencode(str(one)) if one else None for one in (source, target, kind)]
    if _LIBC.mount(*arguments, ctypes.c_ulong(flags), data.encode() or None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(target))


def _bind(source: Path, target: Path, *, read_only: bool = True) -> None:
    if source.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    elif not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(source, target, flags=_MS_BIND)
    if read_only:
        _mount("", target, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY)


# --- a container


def run(sandbox_pid: int, directory: Path, container: Container, tell: int) -> int:
    """Run a container to its end; its first process' id is told to a descriptor, once its root is its own."""
    os.setns(os.pidfd_open(sandbox_pid), _SHARED | os.CLONE_NEWNS)
    os.unshare(os.CLONE_NEWNS | os.CLONE_NEWPID)
    made, making = os.pipe()  # its end is seen when the child becomes its program, or dies before
    child = os.fork()
    if not child:
        os.close(tell)
        _build(directory, container)
        _become(container)
    os.close(making)
    os.read(made, 1)
    os.close(made)
    os.write(tell, f"{child}\n".encode())
    os.close(tell)
    return _ended(child)


def execute(pid: int, container: Container) -> int:
    """Run one more process beside the container's first one."""
    root = os.open(f"/proc/{pid}/root", os.O_RDONLY | os.O_DIRECTORY)
    os.setns(os.pidfd_open(pid), _SHARED | os.CLONE_NEWNS | os.CLONE_NEWPID)
    os.fchdir(root)
    os.chroot(".")
    os.close(root)
    child = os.fork()
    if not child:
        _become(container)
    return _ended(child)


def _become(container: Container) -> None:
    """Run the container's program in this process, by its name in the container's PATH."""
    os.chdir("/")
    os.execve(container.door[0], container.door, dict(container.environment))  # noqa: S606 - no shell is wanted


def _ended(child: int) -> int:
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return status if status >= 0 else 128 - status


def _build(directory: Path, container: Container) -> None:
    """Make the container's root, and make it this process'."""
    new = directory / "root"
    _mount("tmpfs", new, "tmpfs", data="mode=0755")
    for name in _SYSTEM:
        here = Path("/", name)
        if here.is_symlink():
            (new / name).symlink_to(here.readlink())
        elif here.is_dir():
            _bind(here, new / name)
    _devices(new)
    _etc(new, container)
    for name, mode in (("tmp", 0o1777), ("run", 0o755), ("var", 0o755), ("proc", 0o555), ("root", 0o755)):
        (new / name).mkdir(exist_ok=True)
        (new / name).chmod(mode)
    (new / "var/run").symlink_to("../run")
    _programs(new, container.image)
    for mount in container.mounts:
        source = directory / "volumes" / mount.volume / mount.part
        _bind(source, new / mount.path.lstrip("/"), read_only=mount.read_only)
    for path in _places(container.image):  # a volume at /tmp would hide a project that is tested there
        if any(path.is_relative_to(mount.path) for mount in container.mounts):
            _bind(path, new / path.relative_to("/"))
    _mount("proc", new / "proc", "proc")
    _bind(new / "proc/sys", new / "proc/sys")
    if container.read_only_root:
        _mount("", new, flags=_MS_BIND | _MS_REMOUNT | _MS_RDONLY)
    os.chdir(new)
    os.chroot(".")


def _devices(new: Path) -> None:
    (new / "dev").mkdir()
    for name in _DEVICES:
        _bind(Path("/dev", name), new / "dev" / name, read_only=False)


def _etc(new: Path, container: Container) -> None:
    etc = new / "etc"
    etc.mkdir()
    for name in _BOUND:
        if Path("/etc", name).is_dir():
            _bind(Path("/etc", name), etc / name)
    for name in _COPIED:
        if Path("/etc", name).is_file():
            shutil.copy(Path("/etc", name), etc / name)
    texts = {
        "/etc/passwd": "root:x:0:0::/root:/bin/sh\n",
        "/etc/group": "root:x:0:\n",
        "/etc/nsswitch.conf": "hosts: files dns\n",
    }
    for path, text in (texts | dict(container.files)).items():
        (new / path.lstrip("/")).write_text(text, encoding="utf-8")


def _places(image: Image) -> list[Path]:
    """List what is needed where it is: the interpreter's own files, and the project that the environment points to."""
    places = [Path(sys.base_prefix), *([ROOT] if image is Image.SIDECAR else [])]
    return [path for path in places if not path.is_relative_to("/usr")]


def _programs(new: Path, image: Image) -> None:
    """Put the interpreter there, and what the image adds to it."""
    prefix = Path(sys.prefix)
    for path in _places(image):
        _bind(path, new / path.relative_to("/"))
    if image is not Image.INIT:
        _bind(prefix, new / ("opt/app" if image is Image.USER else "opt/kecs"))
        return
    kecs = new / "opt/kecs/kecs"
    (kecs / "core").mkdir(parents=True)
    for name in ("__init__.py", "errors.py", "names.py"):
        shutil.copy(ROOT / "core/kecs/core" / name, kecs / "core" / name)
    shutil.copytree(ROOT / "init-container/kecs/init_container", kecs / "init_container")
    (new / "opt/kecs/bin").mkdir()
    (new / "opt/kecs/bin/python").symlink_to(Path(sys.executable).resolve())


def main(act: str, *rest: str) -> int:
    """Choose what to be."""
    if act == "sandbox":
        directory, name, volumes = rest
        sandbox(Path(directory), name, json.loads(volumes))
        return 0
    syscalls.die_with_parent(os.getppid(), signal.SIGKILL)
    pid, spec, *words = rest
    container = Container.from_json(Path(spec).read_text(encoding="utf-8"))
    if act == "exec":
        return execute(int(pid), container)
    return run(int(pid), Path(words[0]), container, int(words[1]))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
