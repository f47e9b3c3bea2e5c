"""What is called better is better, as often as it says."""

import numpy as np
import pytest
from scipy import stats

from initlab.report.statistics import (
    accuracy_noise,
    compare_pairs,
    holm,
    paired_tests,
    seeds_needed,
    sign_flip_test,
)


def by_seed(*values):
    return {str(seed): value for seed, value in enumerate(values)}


def compared(first, other, higher=True):
    (paired,) = compare_pairs([(by_seed(*first), by_seed(*other))], higher)
    return paired


def test_six_differences_of_one_sign_have_the_p_that_one_computes_by_hand():
    paired = compared([0.91, 0.92, 0.93, 0.94, 0.95, 0.96], 6 * [0.9])
    assert paired.p == paired.p_holm == 2 / 2**6 == 0.03125
    assert (paired.n, paired.wins, paired.tied) == (6, 6, False)
    assert paired.difference == pytest.approx(0.035)


def test_five_seeds_cannot_reach_five_percent_however_large_the_difference():
    paired = compared(5 * [100.0], [1.0, 2.0, 3.0, 4.0, 5.0])
    assert paired.p == 0.0625
    assert paired.tied
    assert not paired.decidable
    assert compared(6 * [100.0], [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).decidable


def test_p_and_interval_are_those_of_scipy():
    generator = np.random.default_rng(3)
    for n in (2, 5, 9):
        first, other = generator.normal(size=(2, n))
        paired = compared(first, other)
        expected = stats.permutation_test(
            (first, other),
            lambda x, y: np.mean(x - y),
            permutation_type="samples",
            n_resamples=2**n,
        )
        assert paired.p == pytest.approx(expected.pvalue, abs=1e-12)
        low, high = stats.ttest_rel(first, other).confidence_interval(0.95)
        assert (paired.low, paired.high) == pytest.approx((low, high))
        assert paired.wins == (first > other).sum()


def test_many_seeds_have_the_p_of_random_flips_the_same_each_time():
    first, other = np.random.default_rng(5).normal([[0.5], [0.0]], 1.0, (2, 30))
    paired = compared(first, other)
    assert paired.p == pytest.approx(stats.ttest_rel(first, other).pvalue, rel=0.3, abs=0.003)
    assert paired == compared(first, other)


@pytest.mark.parametrize("seeds", [5, 9, 15])
def test_many_differences_have_the_p_that_each_has_by_itself(seeds):
    differences = np.random.default_rng(7).normal(0.4, 1.0, (1100 // seeds, seeds))
    differences[0] = 1.0
    alone = [sign_flip_test(row[None])[0] for row in differences[:5]]
    assert sign_flip_test(differences)[:5] == pytest.approx(alone, abs=1e-12)
    assert alone[0] == 2 * 0.5**seeds


def test_of_hundreds_of_seeds_fewer_flips_have_nearly_the_same_p():
    differences = np.random.default_rng(7).normal([[0.0], [0.03], [1.0]], 1.0, (3, 400))
    normal = stats.ttest_1samp(differences, 0, axis=1).pvalue
    assert sign_flip_test(differences) == pytest.approx(normal, abs=0.02)


def test_where_lower_is_better_the_lower_wins():
    paired = compared([0.1, 0.2, 0.3], [0.4, 0.4, 0.2], higher=False)
    assert paired.difference == pytest.approx(0.4 / 3)
    assert paired.wins == 2
    assert paired.low < paired.difference < paired.high


def test_only_seeds_that_both_have_count():
    (paired,) = compare_pairs([({"0": 1.0, "1": 2.0, "7": 50.0}, {"0": 0.0, "1": 0.5, "2": 9.0})])
    assert (paired.n, paired.difference) == (2, 1.25)
    assert compare_pairs([({"0": 1.0}, {"1": 1.0})]) == [None]
    assert compare_pairs([]) == []


def test_one_seed_has_no_interval_and_settles_nothing():
    paired = compared([1.0], [0.0])
    assert (paired.low, paired.high, paired.p, paired.tied) == (None, None, 1.0, True)


def test_equal_differences_are_an_interval_of_one_point():
    paired = compared(6 * [1.0], 6 * [0.5])
    assert (paired.low, paired.high, paired.tied) == (0.5, 0.5, False)
    same = compared(6 * [1.0], 6 * [1.0])
    assert (same.low, same.high, same.p, same.tied, same.wins) == (0.0, 0.0, 1.0, True, 0)


# Ten p values and what R's multtest::mt.rawp2adjp makes of them, from statsmodels' test_multi.py.
PS = """
0.838541367553 0.642193923795 0.680845947633 0.967833824309 0.71626938238
0.177096952723 5.23656777208e-5 0.0202732688798 0.00028140506198 0.0149877310796
"""
HOLM = "1 1 1 1 1 1 5.23656777208e-4 0.1419128821586 2.53264555782e-3 0.1199018486368"


def test_p_values_are_corrected_as_holm_does():
    assert holm(np.array(PS.split(), float)) == pytest.approx([*map(float, HOLM.split())])
    assert holm(np.array([0.001, 0.01, 0.03, 0.5])) == pytest.approx([0.004, 0.03, 0.06, 0.5])
    assert holm(np.array([])).size == 0


def test_all_pairs_of_a_call_are_corrected_together():
    good, bad = by_seed(*np.arange(8.0)), by_seed(*(np.arange(8.0) - 1))
    one, other, none = compare_pairs([(good, bad), (good, bad), ({"0": 1.0}, {"1": 1.0})])
    assert one.p == other.p == 2 / 2**8
    assert one.p_holm == other.p_holm == 4 / 2**8
    assert none is None


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, 6), (2, 7), (3, 7), (4, 8), (23, 10)])
def test_so_many_seeds_are_needed(comparisons, seeds):
    assert seeds_needed(comparisons) == seeds
    differences = np.ones((1, seeds))
    assert comparisons * sign_flip_test(differences)[0] < 0.05
    assert comparisons * sign_flip_test(differences[:, 1:])[0] >= 0.05


def test_settings_that_are_equal_are_called_different_as_rarely_as_promised():
    first, other = np.random.default_rng(11).normal(size=(2, 2000, 8))
    found = np.mean([not paired.tied for paired in paired_tests(first, other)])
    assert 0.02 <= found <= 0.07


def test_pairs_show_what_the_spread_of_the_seeds_hides():
    generator = np.random.default_rng(12)
    seeds = generator.normal(0.0, 3.0, (500, 8))  # what a seed does to both
    differences = generator.normal(1.0, 1.0, (500, 8))
    first, other = seeds + differences, seeds
    paired = np.mean([not each.tied for each in paired_tests(first, other)])
    unpaired = np.mean(stats.ttest_ind(first, other, axis=1).pvalue < 0.05)
    assert paired > 0.5 > 5 * unpaired


def test_the_noise_of_a_test_set_is_binomial():
    assert accuracy_noise(0.98, 360) == pytest.approx(0.0074, abs=5e-5)
    draws = np.random.default_rng(13).binomial(360, 0.98, 20_000) / 360
    assert accuracy_noise(0.98, 360) == pytest.approx(draws.std(), rel=0.03)
    assert accuracy_noise(1.0, 10) == 0.0
