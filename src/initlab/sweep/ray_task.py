"""What a process of Ray runs: sent as it stands, it finds the code that was sent beside it."""

from __future__ import annotations


def call(packed: bytes, argument: bytes) -> bytes:
    """Return the answer of a packed function to an argument, both of them pickled."""
    import os
    import sys

    if "initlab" not in sys.modules:
        sys.path.insert(0, os.path.join(os.getcwd(), "src"))
    from initlab.sweep.remote import serve

    return serve(packed, argument)
