"""What holds for all tests: no example of a property has to be quick, and keys that end a program end it."""

import signal

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

for _key, _does in ((signal.SIGINT, signal.default_int_handler), (signal.SIGQUIT, signal.SIG_DFL)):
    if signal.getsignal(_key) is signal.SIG_IGN:  # as shells have it for what they run in the background
        signal.signal(_key, _does)
