import itertools

import numpy as np
import pytest

from initlab.data.batches import BATCHING, Rows, fixed, random, shuffle
from initlab.data.datasets import Samples

DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def take(order, count):
    return [batch.copy() for batch in itertools.islice(order, count)]


def rng(seed=0):
    return np.random.default_rng(seed)


@pytest.mark.parametrize(("n", "batch"), [(12, 4), (10, 4), (7, 5), (3, 8), (5, 5), (6, 1)])
def test_shuffle_visits_every_example_once_an_epoch_in_full_batches(n, batch):
    epochs = 4
    batches = take(shuffle(rng(), n, batch), epochs * n)
    assert {len(indices) for indices in batches} == {batch}
    order = np.concatenate(batches)[: epochs * n].reshape(epochs, n)
    np.testing.assert_array_equal(np.sort(order, axis=1), np.tile(np.arange(n), (epochs, 1)))
    assert len({tuple(epoch) for epoch in order}) > 1, "every epoch has an order of its own"


def test_random_draws_cover_everything_with_replacement():
    batches = take(random(rng(), 50, 40), 30)
    assert {len(indices) for indices in batches} == {40}
    # A given example is missed by 1,200 draws with probability 3e-11.
    assert set(np.concatenate(batches)) == set(range(50))
    # 40 of 50 without a repetition has probability 1e-13.
    assert all(len(set(indices)) < 40 for indices in batches)
    assert len({tuple(indices) for indices in batches}) == 30


def test_fixed_is_one_random_batch_for_ever():
    batches = take(fixed(rng(), 50, 10), 5)
    assert len(set(batches[0])) == 10
    assert set(batches[0]) < set(range(50))
    assert list(batches[0]) != list(range(10))
    for indices in batches[1:]:
        np.testing.assert_array_equal(indices, batches[0])


def test_fixed_takes_all_examples_where_there_are_fewer_than_a_batch():
    assert sorted(next(fixed(rng(), 3, 10))) == [0, 1, 2]


@pytest.mark.parametrize("name", BATCHING)
def test_the_order_depends_on_the_generator_alone(name):
    one, same, other = (take(BATCHING[name](rng(seed), 30, 8), 6) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)


def pixels(n=40, features=6):
    values = rng().integers(256, size=(n, features), dtype=np.uint8)
    values[0, :2] = 0, 255
    return values


@DTYPES
@pytest.mark.parametrize("scale", [1 / 255, 1 / 16, 1.0])
def test_rows_are_the_stored_ones_times_the_scale_in_the_dtype(dtype, scale):
    samples = Samples(pixels(), np.arange(40), scale)
    indices = np.array([7, 0, 39, 7])
    x, labels = Rows(samples, 4, dtype).take(indices)
    assert x.dtype == dtype
    np.testing.assert_array_equal(x, pixels()[indices].astype(dtype) * dtype(scale))
    np.testing.assert_array_equal(labels, indices)


def test_stored_bytes_stay_bytes():
    rows = Rows(Samples(pixels(), None, 1 / 255), 4, np.float32)
    rows.take(np.arange(4))
    assert rows.stored.dtype == np.uint8
    assert rows.samples.x.dtype == np.uint8
    np.testing.assert_array_equal(rows.samples.x, pixels())


@DTYPES
def test_float64_storage_is_rounded_to_the_dtype(dtype):
    stored = rng().standard_normal((9, 3))
    x, labels = Rows(Samples(stored, None, 1.0), 9, dtype).take(np.arange(9))
    np.testing.assert_array_equal(x, stored.astype(dtype))
    assert x.dtype == dtype
    assert labels is None


def test_a_smaller_batch_takes_the_first_rows_of_the_buffer():
    rows = Rows(Samples(pixels(), np.arange(40) % 3, 1.0), 10, np.float64)
    whole, _ = rows.take(np.arange(10))
    x, labels = rows.take(np.array([20, 30]))
    assert np.shares_memory(x, whole)
    np.testing.assert_array_equal(x, pixels()[[20, 30]])
    np.testing.assert_array_equal(labels, [2, 0])
