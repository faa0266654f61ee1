"""All forms."""

from typing import Final

from matrix import forms_messages, forms_s3, forms_services
from matrix.playbook import Form

GROUPS: Final = (*forms_s3.GROUPS, *forms_messages.GROUPS, *forms_services.GROUPS)
FORMS: Final[tuple[tuple[str, Form], ...]] = tuple((group.title, form) for group in GROUPS for form in group.forms)
