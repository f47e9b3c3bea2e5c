import gc

import pytest

from initlab.process import gc_paused


def test_nothing_is_searched_for_garbage_until_the_end():
    with gc_paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_is_searched_for_after_an_import_that_failed():
    with pytest.raises(ModuleNotFoundError), gc_paused():
        import initlab.no_such_module  # noqa: F401
    assert gc.isenabled()
