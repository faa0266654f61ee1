"""The issuer as kubelet mounts it: read when it appears and when it changes. An edge."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from kecs.certs.records import decode_authority
from kecs.certs.state import Authority
from kecs.core.errors import AuthorityError

DIRECTORY: Final = "/var/run/kecs/issuer"
_FIELDS: Final = ("state.json", "tls.crt", "tls.key", "ca.crt")


@dataclass(slots=True)
class IssuerFiles:
    """The directory of the mounted Secret. What was read last is used on while the files can't be read."""

    directory: Path
    authority: Authority | None = field(default=None, init=False)
    failure: str = field(default="the issuer has not been provided yet", init=False)
    _seen: dict[str, bytes] = field(default_factory=dict, init=False)

    def refresh(self) -> bool:
        """Read the files again; say whether they hold something else now, or can be read again."""
        try:
            fields = self._fields()
            if fields == self._seen:
                mended, self.failure = bool(self.failure), ""
                return mended
            authority = decode_authority(fields, source=f"the issuer in {self.directory}")
        except OSError as error:
            self.failure = f"{error.filename or self.directory} can't be read: {(error.strerror or '').lower()}"
            return False
        except AuthorityError as error:
            self.failure = error.message
            return False
        self._seen, self.authority, self.failure = fields, authority, ""
        return True

    def _fields(self) -> dict[str, bytes]:
        """Read all files of one version: kubelet replaces them together by turning the link `..data`."""
        here = self.directory / "..data"
        here = here.resolve() if here.exists() else self.directory
        return {name: (here / name).read_bytes() for name in _FIELDS}
