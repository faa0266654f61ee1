"""How much CPU and memory a task asks for, in any of the spellings that AWS takes. Pure."""

import re
from decimal import Decimal
from typing import Final

_SPELLINGS: Final = {
    "cpu": re.compile(r"(\d{0,9}\.?\d{1,9})\s*vcpus?", re.IGNORECASE),
    "memory": re.compile(r"(\d{0,9}\.?\d{1,9})\s*gb", re.IGNORECASE),
}
_DIGITS: Final = re.compile(r"0*([0-9]{1,9})")


def units(member: str, given: str) -> str:
    """Return a task's `cpu` in units or its `memory` in MiB, as digits: of `1 vCPU` and `0.5GB` too.

    What is neither is given back as it came, so that a refusal can name it.
    """
    text = given.strip()
    if found := _DIGITS.fullmatch(text):
        return str(int(found[1]))
    if found := _SPELLINGS[member].fullmatch(text):
        return str(int(Decimal(found[1]) * 1024))
    return given
