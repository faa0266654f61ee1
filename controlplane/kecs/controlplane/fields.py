"""What becomes of each field of a task definition: nothing that somebody says is ignored in silence. Pure.

`TABLE` has every member of RegisterTaskDefinition, nested ones too, and of some of them several values. A field stands
in the pod, or is obeyed by the control plane; or it is kept with a warning; or a definition that has it is refused.
docs/ecs-task-definitions.md shows the table; tests hold it against the model and against the pods that definitions with
and without each field become.
"""

from collections.abc import Iterator
from typing import Final

from kecs.controlplane import fields_of_container, fields_of_task
from kecs.controlplane.field_fates import Fate, Field, Json

TABLE: Final[tuple[Field, ...]] = (*fields_of_task.FIELDS, *fields_of_container.FIELDS)


def refusals(params: Json) -> Iterator[str]:
    """Yield why a definition can't be run here, a sentence each."""
    return _sentences(params, Fate.REFUSED)


def warnings(params: Json) -> tuple[str, ...]:
    """Return what a definition says that has no effect here, a sentence each, each once."""
    return tuple(dict.fromkeys(_sentences(params, Fate.WARNED)))


def _sentences(params: Json, fate: Fate) -> Iterator[str]:
    for field in TABLE:
        if field.fate is fate:
            yield from (field.sentence(found) for found in field.found(params))
