"""The keeper: the process that makes the namespace, keeps it and clears it. It never runs the command.

A child of P. It unshares, sets everything up, sends P the sockets and the namespaces' descriptors, then serves two
channels: `control` (P: counters, the end) and `helper` (the sidecar: sockets made inside). When `control` ends, by
P's word or by its death, it ends what still runs inside and then itself. It has its own session: Ctrl-C is not for it.
"""

import os
import select
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NoReturn

from pyroute2.netlink.exceptions import NetlinkError

from kecs.core.errors import KecsError
from kecs.local import channel, leftovers, links, nfqueue, nft, resolver, rules, syscalls
from kecs.local.diagnosis import Facts, Step, explain
from kecs.local.rules import Attempts, Method
from kecs.local.shape import OWN_IPV4, OWN_IPV6, Options

_BACKLOG: Final = 4096
_NFNETLINK: Final = 12
_SOL_NETLINK, _NETLINK_NO_ENOBUFS = 270, 5
_SO_RCVBUFFORCE: Final = 33
_QUEUE_BUFFER: Final = 4 << 20
_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75
_IP_PKTINFO: Final = 8
_DNS_PORT: Final = 53


@dataclass(slots=True)
class _Making:
    """What the steps hand on to each other."""

    options: Options
    user_namespace: bool
    uid: int = field(default_factory=os.geteuid)
    """As seen before: unmapped, it would read as 65534."""
    gid: int = field(default_factory=os.getegid)
    host: links.Host = field(default_factory=lambda: links.Host(addresses=(), ipv6_default_route=False))
    ipv6: bool = False
    method: Method = Method.NFT
    made: list[socket.socket] = field(default_factory=list)
    dns: int = 0
    listeners: int = 0


def needs_user_namespace() -> bool:
    """Say whether capabilities must come from a user namespace: not root, or a root that has been stripped of them."""
    return not syscalls.has(syscalls.CAP_SYS_ADMIN, syscalls.CAP_NET_ADMIN, syscalls.CAP_NET_RAW)


def _unshare(making: _Making) -> None:
    making.host = links.look()
    os.unshare(os.CLONE_NEWNET | os.CLONE_NEWNS | (os.CLONE_NEWUSER if making.user_namespace else 0))


def _map(making: _Making) -> None:
    if making.user_namespace:
        uid, gid = making.uid, making.gid
        Path("/proc/self/setgroups").write_text("deny", encoding="ascii")  # gid_map is refused before
        Path("/proc/self/uid_map").write_text(f"{uid} {uid} 1", encoding="ascii")
        Path("/proc/self/gid_map").write_text(f"{gid} {gid} 1", encoding="ascii")


def _link(making: _Making) -> None:
    making.ipv6 = links.set_up(making.host)
    with suppress(OSError):  # /proc/sys may be read-only; only ping needs it
        gid = os.getegid()
        Path("/proc/sys/net/ipv4/ping_group_range").write_text(f"{gid} {gid}", encoding="ascii")


def _rule(making: _Making) -> None:
    own = dict.fromkeys((OWN_IPV4, OWN_IPV6, *making.host.addresses))
    layout = nft.Layout(own=tuple(own), ipv6=making.ipv6, port=making.options.port)
    lock = making.options.directory / "xtables.lock"
    making.method = rules.apply(layout, Attempts(methods=making.options.methods, lock=lock))


def _socket(making: _Making) -> None:
    families = [socket.AF_INET, socket.AF_INET6] if making.ipv6 else [socket.AF_INET]
    making.made += [_listener(family, making.options.port) for family in families]
    making.listeners = len(making.made)
    making.made += [_dns(family) for family in families]
    making.dns = len(families)
    if making.method.holds:
        try:
            making.made.append(_queue())
        except OSError:  # a rule may take a queue for which the kernel has no handler: packets then pass it by
            making.method = making.method.bare


def _mount(making: _Making) -> None:
    # best effort: the sockets on port 53 answer for every name server in any resolv.conf
    with suppress(OSError):
        syscalls.mount("none", "/", syscalls.MS_REC | syscalls.MS_SLAVE)  # or binds would show outside
        resolver.install(making.options.directory, str(OWN_IPV4))


_STEPS: Final[tuple[tuple[Step, Callable[[_Making], None]], ...]] = (
    (Step.UNSHARE, _unshare),
    (Step.MAPS, _map),
    (Step.LINKS, _link),
    (Step.RULES, _rule),
    (Step.SOCKETS, _socket),
    (Step.MOUNTS, _mount),
)


def _bound(family: int, kind: int, host: str, port: int) -> socket.socket:
    made = socket.socket(family, kind)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.setsockopt(socket.IPPROTO_IPV6, _IPV6_TRANSPARENT, 1)
    else:
        made.setsockopt(socket.IPPROTO_IP, _IP_TRANSPARENT, 1)
    made.bind((host, port))
    return made


def _listener(family: int, port: int) -> socket.socket:
    made = _bound(family, socket.SOCK_STREAM, "::1" if family == socket.AF_INET6 else "127.0.0.1", port)
    made.listen(_BACKLOG)
    return made


def _dns(family: int) -> socket.socket:
    v6 = family == socket.AF_INET6
    made = _bound(family, socket.SOCK_DGRAM, "::" if v6 else "0.0.0.0", _DNS_PORT)
    made.setsockopt(*((socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO) if v6 else (socket.IPPROTO_IP, _IP_PKTINFO)), 1)
    return made


def _queue() -> socket.socket:
    made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NFNETLINK)
    made.bind((0, 0))
    with suppress(PermissionError):  # the buffer's size belongs to the initial user namespace
        made.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, _QUEUE_BUFFER)
    made.setsockopt(_SOL_NETLINK, _NETLINK_NO_ENOBUFS, 1)
    rules.configure(made, nfqueue.configure(nft.QUEUE))
    return made


def _make(options: Options) -> _Making:
    making = _Making(options, needs_user_namespace())
    for step, act in _STEPS:
        try:
            act(making)
        except KecsError:
            raise
        except (NetlinkError, OSError) as error:
            number = error.code if isinstance(error, NetlinkError) else error.errno
            facts = Facts.read(user_namespace=making.user_namespace, root=making.uid == 0)
            raise explain(step, number or 0, facts) from error
    return making


def namespaces() -> tuple[str, ...]:
    """Return the names of the namespaces to join, in the order that permits it: the user namespace first."""
    return ("user", "net", "mnt")


def run(options: Options, control: socket.socket, helper: socket.socket, outside: socket.socket) -> NoReturn:
    """Be the keeper, from the fork to the end of the process. `outside` is the sidecar's end of `helper`."""
    os.setsid()
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP, signal.SIGTERM, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    try:
        making = _make(options)
        _report(control, making, outside)
    except KecsError as error:
        channel.send(control, {"error": error.message, "hint": error.hint})
        os._exit(1)
    except Exception as error:  # noqa: BLE001 - P says it: this process must never go on into P's code
        channel.send(control, {"error": f"the namespace can't be made: {type(error).__name__}: {error}", "hint": ""})
        os._exit(1)
    _detach(control.fileno(), helper.fileno())
    _serve(control, helper)
    if not options.keep:
        leftovers.end()
    os._exit(0)


def _report(control: socket.socket, making: _Making, outside: socket.socket) -> None:
    wanted = namespaces() if making.user_namespace else namespaces()[1:]
    joins = [os.open(f"/proc/self/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in wanted]
    counts = {"listeners": making.listeners, "dns": making.dns, "method": making.method.value, "joins": len(joins)}
    channel.send(control, counts, [*joins, outside.fileno(), *(one.fileno() for one in making.made)])


def _detach(*stays: int) -> None:
    """Keep only the channels: an inherited pipe or terminal would never see its end."""
    null = os.open(os.devnull, os.O_RDWR)
    for standard in range(3):
        os.dup2(null, standard)
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - names are all that is wanted
        if int(name) > 2 and int(name) not in stays:  # noqa: PLR2004 - standard error
            with suppress(OSError):  # the listing's own descriptor
                os.close(int(name))


def _serve(control: socket.socket, helper: socket.socket) -> None:
    poll = select.poll()
    for one in (control, helper):
        poll.register(one, select.POLLIN)
    while True:
        for descriptor, _events in poll.poll():
            if descriptor == control.fileno() and not _answer(control, _counters):
                return
            if descriptor == helper.fileno() and not _answer(helper, _inside_socket):
                poll.unregister(helper)


type _Reply = tuple[dict[str, Any], tuple[socket.socket, ...]]


def _answer(asked: socket.socket, reply: Callable[[dict[str, Any]], _Reply]) -> bool:
    """Answer one request; False when the channel has ended."""
    try:
        request = channel.receive(asked)
        if request is None:
            return False
        said, sockets = reply(request[0])
        channel.send(asked, said, [one.fileno() for one in sockets])
    except (OSError, EOFError):
        return False
    for one in sockets:
        one.close()
    return True


def _counters(_request: dict[str, Any]) -> _Reply:
    texts = {}
    for name in ("snmp", "snmp6"):
        with suppress(OSError):
            texts[name] = Path(f"/proc/self/net/{name}").read_text(encoding="ascii")
    return texts, ()


def _inside_socket(request: dict[str, Any]) -> _Reply:
    try:
        made = socket.socket(request["family"], socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_MARK, nft.DIAL_MARK)
    except OSError as error:
        return {"errno": error.errno}, ()
    return {}, (made,)
