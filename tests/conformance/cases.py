"""All cases, in the order in which the page shows them."""

from typing import Final

from conformance import cases_bodies, cases_exchanges, cases_messages, cases_smuggling, cases_switches
from conformance.playbook import Group

GROUPS: Final[tuple[Group, ...]] = (
    *cases_messages.GROUPS,
    *cases_bodies.GROUPS,
    *cases_exchanges.GROUPS,
    *cases_switches.GROUPS,
    *cases_smuggling.GROUPS,
)
