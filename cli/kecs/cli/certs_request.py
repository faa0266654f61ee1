"""What is asked of a cluster's authority and what it answers, as the two fields of one ConfigMap. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Self

from kecs.certs.outcome import REMEDIES, SENTENCES, Reason
from kecs.core.errors import AuthorityError


class Stage(StrEnum):
    """How far the authority has come with a request."""

    RUNNING = "running"
    """It is at work."""
    WAITING = "waiting"
    """It goes on once workloads have ended."""
    DONE = "done"
    """All that was asked for is done."""
    REFUSED = "refused"
    """It does not do it, for the reasons given."""
    FAILED = "failed"
    """It could not do it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the authority says of a request."""

    id: str
    stage: Stage
    steps: tuple[str, ...] = ()
    """What was done, one sentence each."""
    reasons: tuple[str, ...] = ()
    """Members of `Reason`, or sentences."""
    workloads: tuple[str, ...] = ()

    @property
    def is_over(self) -> bool:
        """Nothing more will come."""
        return self.stage in {Stage.DONE, Stage.REFUSED, Stage.FAILED}

    @classmethod
    def of(cls, data: Mapping[str, str]) -> Self | None:
        """Read the answer; None when there is none, or none that can be read."""
        try:
            said = json.loads(data.get("status", ""))
            return cls(
                id=str(said["id"]),
                stage=Stage(said["state"]),
                steps=tuple(_text(step) for step in said.get("steps", ())),
                reasons=tuple(_text(reason) for reason in said.get("reasons", ())),
                workloads=tuple(_text(workload) for workload in said.get("workloads", ())),
            )
        except (ValueError, KeyError, TypeError):
            return None

    def error(self) -> AuthorityError:
        """Say a refusal or a failure as an error."""
        known = [Reason(reason) for reason in self.reasons if reason in set(Reason)]
        foreign = [reason for reason in self.reasons if reason not in set(Reason)]
        about = f" ({', '.join(self.workloads)})" if self.workloads else ""
        sentences = "; ".join([*(SENTENCES[reason] for reason in known), *foreign]) or "the authority gave no reason"
        return AuthorityError(sentences + about, hint="; ".join(REMEDIES[reason] for reason in known))


def request(number: str, *, action: str, force: bool, wait: bool) -> str:
    """Spell a request."""
    return json.dumps({"id": number, "action": action, "force": force, "wait": wait})


def pending(data: Mapping[str, str]) -> Mapping[str, Any] | None:
    """Return the request that is being worked on; None when the last one is over, or none was made."""
    try:
        asked = json.loads(data.get("request", ""))
    except ValueError:
        return None
    report = Report.of(data)
    over = report is not None and report.is_over and report.id == asked.get("id")
    return None if over or not isinstance(asked, dict) else asked


def _text(said: object) -> str:
    """Read what may be a sentence or an object with a kind and a name."""
    if isinstance(said, dict):
        return " ".join(str(said[key]) for key in ("kind", "name", "action", "text") if said.get(key))
    return str(said)
