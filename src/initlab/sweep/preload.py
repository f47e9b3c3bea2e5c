"""The imports of the process that the workers of a pool are forked from."""

import signal

from initlab.process import STOP_SIGNALS, freeze_imports, gc_paused

for number in STOP_SIGNALS:
    signal.signal(number, signal.SIG_IGN)  # it ends with the process that runs the pool

with gc_paused():
    import mlflow.store.tracking.sqlalchemy_store  # noqa: F401  (which a client would import)
    import sqlalchemy

    from initlab import figures, run  # noqa: F401
    from initlab.tracking import provenance, tracker  # noqa: F401

    sqlalchemy.create_engine("sqlite://")  # the first engine takes long
    provenance.numerics()
    freeze_imports()
