"""The config: its schema, the objects that it builds, and its errors explained.

schema    every key, its type and its default
build     from the composed config to the objects that run
composed  what Hydra knows of a run beyond its values
stored    a config read back from a store, which anybody may have written
explain   errors of Hydra and OmegaConf in words that a user can act on
pages     the options as the help page lists them
"""

from initlab.config.build import build, register
from initlab.config.composed import (
    as_typed,
    as_yaml,
    chosen_options,
    output_folder,
    plain_values,
    run_name,
    sweep_id,
    typed,
)
from initlab.config.explain import explain
from initlab.config.schema import (
    GROUPS,
    PROJECT,
    SCHEMAS,
    Config,
    ConfigError,
    Sweep,
    Tracking,
    essential,
    flatten,
    load_option,
    options,
)
from initlab.config.stored import MOST_LETTERS, restore

__all__ = [
    "GROUPS",
    "MOST_LETTERS",
    "PROJECT",
    "SCHEMAS",
    "Config",
    "ConfigError",
    "Sweep",
    "Tracking",
    "as_typed",
    "as_yaml",
    "build",
    "chosen_options",
    "essential",
    "explain",
    "flatten",
    "load_option",
    "options",
    "output_folder",
    "plain_values",
    "register",
    "restore",
    "run_name",
    "sweep_id",
    "typed",
]
