"""LocalStack takes half a gigabyte to install and listens on every address: it is run when asked for."""

import os

if not os.environ.get("KECS_LOCALSTACK"):
    collect_ignore = ["test_localstack.py"]
