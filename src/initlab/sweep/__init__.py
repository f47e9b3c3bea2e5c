"""Sweeps: many trials, planned, run on an engine and reported.

grid      all combinations of what is swept
plan      the trials, checked and looked up in the store before the first one starts
compose   the configs of many trials, of which Hydra reads the files once
execute   what happens before the trials and afterwards
launch    trials handed to an engine, reported as they end
engine    where trials run: the protocol, and the loop that ours share
pool      the engine of this machine: its processes
foreign   launchers of others as an engine
preload   what each of them imports, once for all
progress  the terminal while a sweep runs
"""
