"""New names, drawn at random."""

import secrets
import uuid


class RandomIds:
    """What makes them in a process that serves."""

    def hex32(self) -> str:
        """Return 32 hexadecimal digits: a task's id."""
        return secrets.token_hex(16)

    def uuid(self) -> str:
        """Return a UUID with hyphens."""
        return str(uuid.uuid4())

    def digits19(self) -> str:
        """Return 19 decimal digits, the first of which is no zero."""
        return str(secrets.randbelow(9 * 10**18) + 10**18)
