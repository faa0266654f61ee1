"""Put the rules into the network namespace of this process: what this kernel has is found by trying."""

import errno
import os
import shutil
import socket
import subprocess
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from kecs.core.errors import MachineError
from kecs.local import iptables, netlink, nft, syscalls
from kecs.local.nft import Layout, Queueing

_NETLINK_NETFILTER: Final = 12
_RECEIVE: Final = 1 << 16
_TOOL_TIMEOUT_S: Final = 20.0


class Method(StrEnum):
    """How connections reach the relay, best first."""

    NFT = "nft"
    NFT_COMPAT = "nft, queue by xt"
    IPTABLES = "iptables"
    NFT_BARE = "nft without queue"
    IPTABLES_BARE = "iptables without queue"
    NFT_REDIRECT = "nft redirect"
    IPTABLES_REDIRECT = "iptables redirect"

    @property
    def holds(self) -> bool:
        """SYNs are held until the destination is known to accept."""
        return self in {Method.NFT, Method.NFT_COMPAT, Method.IPTABLES}

    @property
    def bare(self) -> "Method":
        """The same without holding."""
        return Method.IPTABLES_BARE if self is Method.IPTABLES else Method.NFT_BARE

    @property
    def inside_first(self) -> bool:
        """The kernel does not decide what stays inside: loopback is dialled inside first, then outside."""
        return self in {Method.NFT_REDIRECT, Method.IPTABLES_REDIRECT}


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempts:
    """Which methods to try, and where tools may keep their lock."""

    methods: Sequence[Method] = tuple(Method)
    lock: Path


def apply(layout: Layout, attempts: Attempts) -> Method:
    """Return the first method that the kernel takes; raises MachineError with every refusal when none works."""
    refusals = []
    for method in attempts.methods:
        try:
            _APPLY[method](layout, attempts.lock)
        except OSError as error:
            refusals.append(f"{method}: {error.strerror or error}")
        else:
            return method
    raise MachineError(
        f"no way to redirect connections works here ({'; '.join(refusals)})",
        hint="the kernel needs nftables with `socket` and `tproxy`, or the iptables modules xt_socket and xt_TPROXY: "
        "run `sudo modprobe -a nft_socket nft_tproxy nfnetlink_queue nft_queue xt_socket xt_TPROXY`, then try again",
    )


def _nft(chains: Callable[[Layout], tuple[nft.Chain, ...]]) -> Callable[[Layout, Path], None]:
    def act(layout: Layout, _lock: Path) -> None:
        transact(nft.messages(chains(layout)))

    return act


def transact(messages: Sequence[netlink.Message]) -> None:
    """Send one netfilter batch and wait for its acknowledgements; raises OSError with the first error."""
    awaited = {one.sequence for one in messages if one.flags & netlink.NLM_F_ACK}
    with closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_NETFILTER)) as control:
        control.settimeout(_TOOL_TIMEOUT_S)
        control.bind((0, 0))
        _exchange(control, messages, awaited)


def configure(control: socket.socket, messages: Sequence[netlink.Message]) -> None:
    """Send messages one by one on a netfilter socket that stays; raises OSError with the first error."""
    for one in messages:
        _exchange(control, (one,), {one.sequence})


def _exchange(control: socket.socket, messages: Sequence[netlink.Message], awaited: set[int]) -> None:
    control.sendto(b"".join(one.encode() for one in messages), (0, 0))
    while awaited:
        for answer in netlink.decode(control.recv(_RECEIVE)):
            if answer.error:
                raise OSError(answer.error, os.strerror(answer.error))
            awaited.discard(answer.sequence)


def _iptables(text: Callable[[Layout, int], str]) -> Callable[[Layout, Path], None]:
    def act(layout: Layout, lock: Path) -> None:
        families = {4: "iptables", 6: "ip6tables"} if layout.ipv6 else {4: "iptables"}
        refusals = []
        for variant in ("", "-nft", "-legacy"):
            tools = {version: f"{name}{variant}-restore" for version, name in families.items()}
            if not all(map(shutil.which, tools.values())):
                refusals.append(f"no `{tools[4]}`")
                continue
            refusal = next((said for v, tool in tools.items() if (said := _restore(tool, text(layout, v), lock))), "")
            if not refusal:
                return
            refusals.append(refusal)
            for tool in tools.values():  # one family, or the first tables, may have been taken
                _restore(tool, iptables.EMPTY, lock)
        raise OSError(errno.EOPNOTSUPP, ", ".join(refusals))

    return act


def _restore(tool: str, text: str, lock: Path) -> str:
    # without root the legacy variant can't open /run/xtables.lock; and capabilities are lost at exec unless ambient
    environment = {**os.environ, "XTABLES_LOCKFILE": str(lock)}
    with syscalls.ambient():
        done = subprocess.run(
            [tool], input=text, text=True, capture_output=True, env=environment, check=False, timeout=_TOOL_TIMEOUT_S
        )
    said = (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[0]
    return f"`{tool}`: {said}" if done.returncode else ""


_APPLY: Final[dict[Method, Callable[[Layout, Path], None]]] = {
    Method.NFT: _nft(lambda layout: nft.tproxy_chains(layout, Queueing.NATIVE)),
    Method.NFT_COMPAT: _nft(lambda layout: nft.tproxy_chains(layout, Queueing.COMPAT)),
    Method.IPTABLES: _iptables(lambda layout, version: iptables.tproxy_text(layout, version, hold=True)),
    Method.NFT_BARE: _nft(lambda layout: nft.tproxy_chains(layout, Queueing.NONE)),
    Method.IPTABLES_BARE: _iptables(lambda layout, version: iptables.tproxy_text(layout, version, hold=False)),
    Method.NFT_REDIRECT: _nft(nft.redirect_chains),
    Method.IPTABLES_REDIRECT: _iptables(lambda layout, _version: iptables.redirect_text(layout)),
}
