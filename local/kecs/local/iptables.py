"""The rules as iptables-restore text, for kernels whose nftables lacks `socket` or `tproxy`. Pure.

The queue sits in `raw`: a packet that comes back from it goes on in the next table, `mangle`. REJECT exists in
`filter` only, so a refused SYN is answered there.
"""

from typing import Final

from kecs.local.nft import Layout

_LOOPBACK: Final = {4: "127.0.0.0/8", 6: "::1/128"}
EMPTY: Final = "".join(f"*{table}\nCOMMIT\n" for table in ("raw", "mangle", "nat", "filter"))
"""Takes every rule away."""
_RELAY: Final = {4: "127.0.0.1", 6: "::1"}


def tproxy_text(layout: Layout, version: int, *, hold: bool) -> str:
    """Return the input of `iptables-restore` (version 4) or `ip6tables-restore` (version 6)."""
    own = [str(address) for address in layout.own if address.version == version]
    stays = [
        f"-A PREROUTING -p tcp -m mark --mark {layout.dial_mark:#x} -j ACCEPT",
        *(
            f"-A PREROUTING -p tcp --syn -d {target} -m socket --nowildcard -j ACCEPT"
            for target in (_LOOPBACK[version], *own)
        ),
    ]
    refused = f"-p tcp -m mark --mark {layout.refuse_mark:#x}"
    queue = f"-A PREROUTING -p tcp --syn -j NFQUEUE --queue-num {layout.queue} --queue-bypass"
    tproxy = f"-A PREROUTING -p tcp --syn -j TPROXY --on-ip {_RELAY[version]} --on-port {layout.port}"
    mangle = _table("mangle", [f"-A PREROUTING {refused} -j ACCEPT", *stays, tproxy])
    if not hold:
        return mangle
    reject = _table("filter", [f"-A INPUT {refused} -j REJECT --reject-with tcp-reset"])
    return _table("raw", [*stays, queue]) + mangle + reject


def redirect_text(layout: Layout) -> str:
    """Return the last resort, the same for both families."""
    return _table(
        "nat",
        [
            f"-A OUTPUT -p tcp -m mark --mark {layout.dial_mark:#x} -j ACCEPT",
            f"-A OUTPUT -p tcp -j REDIRECT --to-ports {layout.port}",
        ],
    )


def _table(name: str, rules: list[str]) -> str:
    return "\n".join([f"*{name}", *rules, "COMMIT", ""])
