"""All cases, in the order in which the page shows them."""

from typing import Final

from conformance import cases_bodies, cases_messages
from conformance.playbook import Group

GROUPS: Final[tuple[Group, ...]] = (*cases_messages.GROUPS, *cases_bodies.GROUPS)
