import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(scope="session", autouse=True)
def own_cache_and_one_thread(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1, "blas"):
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield
