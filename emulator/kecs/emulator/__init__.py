"""The embedded emulator: moto, routed by Host, in a process of its own."""
