"""What makes tests quick: files are read and merged once, and no disk is waited for."""

import pickle
import sqlite3

from hydra._internal import defaults_list
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from sqlalchemy import Engine, event

from initlab.tracking import sqlite


def compose_once(patch=setattr):
    """Let Hydra keep what it has read and merged, which it would read and merge for every config.

    What it makes of it afterwards is its own: each time it is given a copy.
    """
    read, merge = ConfigRepository.load_config, ConfigLoaderImpl._compose_config_from_defaults_list
    make_map = defaults_list._create_interpolation_map
    pickles = {}

    def once(make, key):
        if key not in pickles:
            pickles[key] = pickle.dumps(make())
        return pickle.loads(pickles[key])  # since Hydra goes on to change what it is given

    def map_if_needed(overrides, defaults, self_added):
        if any(default.is_interpolation() for default in defaults):
            return make_map(overrides, defaults, self_added)
        return None  # which nobody will look at

    def places(repo):
        return tuple(f"{source.scheme()}://{source.path}" for source in repo.get_sources())

    def read_once(self, config_path):
        return once(lambda: read(self, config_path), (places(self), config_path))

    def merge_once(self, defaults, repo):
        return once(lambda: merge(self, defaults, repo), (places(repo), repr(defaults)))

    patch(defaults_list, "_create_interpolation_map", map_if_needed)
    patch(ConfigRepository, "load_config", read_once)
    patch(ConfigLoaderImpl, "_compose_config_from_defaults_list", merge_once)


def wait_for_no_disk():
    """Let SQLAlchemy's connections to SQLite not wait until the disk has what they wrote.

    A run of a few steps commits some fifteen times. Only a power failure could tell the difference.
    """

    @event.listens_for(Engine, "connect")
    def leave_unsynchronized(connection, record):
        if isinstance(connection, sqlite3.Connection):
            sqlite.leave_unsynchronized(connection)
