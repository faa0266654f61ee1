"""What a document tells its reader to do: commands of `console` blocks, manifests of `yaml` blocks."""

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ([\w.-]+\.yaml)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One command, and what the document says it prints."""

    command: str
    output: str

    @property
    def words(self) -> list[str]:
        """The command as a shell would split it."""
        return shlex.split(self.command)


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """One Markdown file."""

    text: str

    @classmethod
    def read(cls, path: Path) -> "Document":
        """Read a file."""
        return cls(text=path.read_text(encoding="utf-8"))

    def section(self, heading: str) -> "Document":
        """Return what stands below a heading of the second level."""
        (found,) = re.findall(rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)", self.text, re.MULTILINE | re.DOTALL)
        return Document(text=found)

    @property
    def steps(self) -> list[Step]:
        """The commands of all console blocks, in their order."""
        found: list[Step] = []
        for language, block in _FENCE.findall(self.text):
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:] if language == "console" else ():
                command, _, output = part.replace("\\\n", "").partition("\n")
                found.append(Step(command=command, output=output))
        return found

    @property
    def files(self) -> dict[str, str]:
        """The YAML blocks that begin with their file's name."""
        blocks = [block for language, block in _FENCE.findall(self.text) if language == "yaml"]
        return {match[1]: block for block in blocks if (match := _FILE.match(block))}
