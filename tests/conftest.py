import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def own_cache_and_one_thread(tmp_path_factory):
    """Decode data into a cache of the session's own, and leave the other cores to other tests."""
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, "blas"):
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory):
    """Return a database that MLflow has set up, which takes it a second or two."""
    from initlab.tracking import open_store

    folder = tmp_path_factory.mktemp("store")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        open_store(None, "unused", folder)
    return folder / "mlflow.db"
