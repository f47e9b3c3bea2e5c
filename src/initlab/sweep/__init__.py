"""Sweeps: many trials, planned, run on an engine and reported.

grid          all combinations of what is swept
plan          the trials, checked and looked up in the store
compose       the configs of many trials, of which Hydra reads the files once
combine       the runs of a grid, described without composing the config of each
waiting       the trials of a grid that must be run
execute       what happens before the trials and afterwards
launch        trials handed to an engine, reported as they end
sharing       trials that another sweep runs, waited for
progress      the terminal while a sweep runs
engine        where trials run: the protocol, and the loop that ours share
pool          the engine of this machine: its processes
preload       what each of them imports, once for all
on_ray        the engine of a Ray cluster
ray_task      what a process of Ray runs
on_slurm      the engine of a Slurm cluster
slurm_worker  what a job of Slurm runs
remote        what workers on other hosts are told, and must have alike
foreign       launchers of others as an engine
"""
