"""What the process that the workers of a pool are forked from imports, once for all of them."""

import signal

for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN)  # it ends with the process that runs the pool

from initlab import figures, tracking, trial  # noqa: E402, F401
