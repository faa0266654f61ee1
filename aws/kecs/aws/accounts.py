"""Which account a credential means, where somebody said so: access keys to account numbers. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Self

ANY: Final = "*"
"""Stands for all access keys that are not named."""
_DIGITS: Final = 12
_KEY_LIMIT: Final = 128
_WORD: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_")


def is_account(text: str) -> bool:
    """Tell whether this is an account's number."""
    return len(text) == _DIGITS and text.isascii() and text.isdigit()


@dataclass(frozen=True, slots=True, kw_only=True)
class Accounts:
    """Access keys and their accounts."""

    named: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def parse(cls, entries: tuple[str, ...]) -> Self:
        """Read entries like AKIAIOSFODNN7EXAMPLE=111122223333; raise ValueError for what is none, or twice there."""
        named: dict[str, str] = {}
        for entry in entries:
            key, _, account = entry.partition("=")
            if not is_account(account):
                raise ValueError(f"{entry!r} names no account of twelve digits")
            if key != ANY and not (0 < len(key) <= _KEY_LIMIT and _WORD.issuperset(key)):
                raise ValueError(f"{entry!r} names no access key")
            if key in named:
                raise ValueError(f"{key!r} has two accounts")
            named[key] = account
        return cls(named=named)

    def of(self, access_key: str) -> str:
        """Return the account of an access key; empty: whatever the backend takes it for.

        A key of twelve digits says its account itself, unless it is named.
        """
        found = self.named.get(access_key)
        if found is not None:
            return found
        return "" if is_account(access_key) else self.named.get(ANY, "")
