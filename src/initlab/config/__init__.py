"""The config: its schema, the objects built from it, and readable errors.

schema        every key, its type and its default
build         from the composed config to the objects that run
composed      what Hydra's own node says about a run
command_line  what was typed, refused where Hydra would not say why
stored        a config read back from a store, which is not trusted
explain       errors of Hydra and OmegaConf in words that a user can act on
remarks       how settings were read
help_page     the lists of options for the help page
"""

from initlab.config.build import assemble, build, check_structure, register
from initlab.config.command_line import (
    read_overrides,
    refuse_invalid,
    refuse_rest,
    refuse_sweeps,
)
from initlab.config.composed import (
    as_typed,
    as_yaml,
    chosen_options,
    output_folder,
    plain_values,
    run_name,
    sweep_id,
    typed_overrides,
)
from initlab.config.explain import explain
from initlab.config.help_page import list_experiments, list_options
from initlab.config.remarks import remarks
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
    zipped_keys,
)
from initlab.config.stored import MAX_CONFIG_CHARS, restore

__all__ = [
    "GROUPS",
    "MAX_CONFIG_CHARS",
    "PROJECT",
    "SCHEMAS",
    "Config",
    "ConfigError",
    "Sweep",
    "Tracking",
    "as_typed",
    "as_yaml",
    "assemble",
    "build",
    "check_structure",
    "chosen_options",
    "essential",
    "explain",
    "flatten",
    "list_experiments",
    "list_options",
    "load_option",
    "options",
    "output_folder",
    "plain_values",
    "read_overrides",
    "refuse_invalid",
    "refuse_rest",
    "refuse_sweeps",
    "register",
    "remarks",
    "restore",
    "run_name",
    "sweep_id",
    "typed_overrides",
    "zipped_keys",
]
