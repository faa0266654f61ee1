"""What the kernel counted inside that explains surprises. Pure."""


def udp_unserved(snmp: str, snmp6: str) -> int:
    """Return how many UDP datagrams found nobody, from /proc/net/snmp and /proc/net/snmp6."""
    lines = [line.split() for line in snmp.splitlines() if line.startswith("Udp:")]
    table = dict(zip(*lines, strict=False)) if len(lines) == 2 else {}  # noqa: PLR2004 - names, then values
    table |= {words[0]: words[1] for line in snmp6.splitlines() if len(words := line.split()) == 2}  # noqa: PLR2004
    counts = (table.get(name, "") for name in ("NoPorts", "Udp6NoPorts"))
    return sum(int(count) for count in counts if count.isdecimal())


def notes(snmp: str, snmp6: str) -> tuple[str, ...]:
    """Return one sentence for each thing that could not work."""
    dropped = udp_unserved(snmp, snmp6)
    if not dropped:
        return ()
    datagrams = "datagram was" if dropped == 1 else "datagrams were"
    return (f"{dropped} UDP {datagrams} not delivered: only TCP and DNS leave the namespace of a run",)
