"""What the relay costs, beside native peers and no proxy at all: `python -m benchmarks.relay --help`."""
