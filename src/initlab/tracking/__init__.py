"""Runs in a store: opened, recorded, found again and read.

What other packages use, by module:

names       the words that a run leaves: Outcome, Status, Role, Tag
record      Record: the steps of a run, and the files that it leaves
store       open_store, reading: where MLflow keeps runs, tried before anything relies on it
tracker     Tracker: one run that is being recorded in a store
queries     resolve_ids, trials_of_sweep, trials_of_study, search_trials: the ids of runs
runs        Run, Curve, read: runs as a store holds them
chart_view  what MLflow's chart page shows of a sweep
provenance  fingerprint, tags: the code, packages and command that a run came from

`artifacts`, `uploads` and `sqlite` (everything that touches MLflow's database directly) serve these
alone.
`store` and `tracker` import MLflow, which takes a second: import them where they are used.
"""
