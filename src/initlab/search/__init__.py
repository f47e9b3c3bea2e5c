"""Searches: trials that Optuna chooses. Of other packages, only `report.importance` imports Optuna.

settings  those of hydra.sweeper, checked and completed
space     what may be chosen from
study     the points that were tried, as Optuna keeps them
journal   where studies are kept
pruning   what a training reports to its study, and whether it is ended early
search    the sweep of such trials
"""
