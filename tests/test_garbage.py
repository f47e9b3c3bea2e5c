import gc

import pytest

from initlab.garbage import unsearched


def test_nothing_is_searched_for_garbage_until_the_end():
    with unsearched():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_garbage_is_searched_for_after_an_import_that_failed():
    with pytest.raises(ModuleNotFoundError), unsearched():
        import initlab.no_such_module  # noqa: F401
    assert gc.isenabled()
