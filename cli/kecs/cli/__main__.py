"""`python -m kecs.cli`."""

from kecs.cli.main import main

main()
