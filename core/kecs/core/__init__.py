"""The vocabulary of KECS: names, errors, settings. Pure."""
