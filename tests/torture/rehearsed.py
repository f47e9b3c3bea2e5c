"""What a process does once before it forks into thousands of commands, which imports this for it.

Hydra finds its plug-ins and reads all of `conf`, the code is hashed, git is asked, and Alembic
reads MLflow's migrations. The libraries, `shortcuts` and a cache below keep what comes of it, which
is the same for every command.
"""

import functools
import importlib

import mlflow.store.db.utils
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from shortcuts import compose_once, wait_for_no_disk

from initlab.config import GROUPS, PROJECT, options, register
from initlab.tracking import provenance, schema

for name in ("matplotlib.pyplot", "optuna", "initlab.search.search", "initlab.search.pruning"):
    importlib.import_module(name)
compose_once()
wait_for_no_disk()
register()
with initialize_config_dir(str(PROJECT / "conf"), version_base="1.3"):
    for turn in range(max(len(options(group)) for group in GROUPS)):
        chosen = {group: options(group)[turn % len(options(group))] for group in GROUPS}
        compose("config", [f"{group}={option}" for group, option in chosen.items()])
    compose("config")  # the usual merge
GlobalHydra.instance().clear()
provenance.tags(PROJECT)
schema.installed_revision()
utils = mlflow.store.db.utils
utils._get_latest_schema_revision = functools.cache(utils._get_latest_schema_revision)
utils._get_latest_schema_revision()
