"""Runs in a store: opened, recorded, found again and read.

record      the steps of a run, and the files that it leaves
store       where MLflow keeps runs, tried before anything relies on it
tracker     one run in a store
runs        runs found in a store and read from it
sqlite      all that touches MLflow's tables directly
chart_view  what MLflow's chart page shows of a sweep
provenance  the code, the packages and the command that a run came from
names       the words that a run leaves: outcomes, statuses, tags

`store` and `tracker` import MLflow, which takes a second: import them where they are used.
"""
