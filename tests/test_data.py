import gzip
import hashlib
import logging
import mmap
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from initlab.config import load_option
from initlab.data import cache, idx
from initlab.data.datasets import DataError, Digits, Gaussian, IdxFiles

NOBODY = "http://127.0.0.1:9/"  # the discard port, where nothing listens
TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS = idx.FILES

PUBLISHED = os.environ.get("INITLAB_DATA")
published = pytest.mark.skipif(
    not PUBLISHED, reason="INITLAB_DATA does not name a folder with mnist and fashion_mnist"
)


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.delenv("INITLAB_DATA", raising=False)
    return tmp_path / "cache" / "initlab" / "decoded"


@pytest.fixture
def root(tmp_path):
    return write_set(tmp_path / "own")


def images(n):
    return np.random.default_rng(n).integers(256, size=(n, 5, 4), dtype=np.uint8)


def pack(path, array):
    header = struct.pack(f">{1 + array.ndim}I", 0x800 + array.ndim, *array.shape)
    path.write_bytes(gzip.compress(header + array.tobytes(), mtime=0))


def write_set(folder, train=6, test=4):
    folder.mkdir(parents=True, exist_ok=True)
    for (images_file, labels_file), n in zip(idx.PARTS.values(), [train, test], strict=True):
        pack(folder / images_file, images(n))
        pack(folder / labels_file, (np.arange(n) % 3).astype(np.uint8))
    return folder


def load(dataset):
    return dataset.load(np.random.default_rng(0))


def load_set(root, **options):
    return load(IdxFiles("own", root=str(root), **options))


def refusal(dataset):
    with pytest.raises(DataError) as caught:
        load(dataset)
    return str(caught.value)


def python(code):
    source = str(Path(idx.__file__).parents[2])
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": source},
    )


def forbid_decoding(monkeypatch):
    def refuse(*_):
        raise AssertionError("the source was read again")

    monkeypatch.setattr(gzip, "open", refuse)


def is_mapped(array):
    while isinstance(array, np.ndarray):
        array = array.base
    return isinstance(array, mmap.mmap)


def test_importing_data_imports_nothing_slow():
    slow = {"pooch", "requests", "rich", "sklearn", "hydra", "mlflow", "matplotlib"}
    process = python(f"import sys, initlab.data; print({slow} & set(sys.modules))")
    assert process.communicate()[0].strip() == "set()"


def test_digits_are_all_the_examples_of_scikit_learn_in_two_disjoint_parts():
    from sklearn.datasets import load_digits

    data, source = load(Digits()), load_digits()
    together = np.concatenate([data.train.x, data.test.x])
    labels = np.concatenate([data.train.labels, data.test.labels])
    got = sorted((*row, label) for row, label in zip(together.tolist(), labels, strict=True))
    assert got == sorted(
        (*row, label) for row, label in zip(source.data, source.target, strict=True)
    )
    assert (len(data.train), len(data.test)) == (1437, 360)
    assert (data.features, data.classes) == (64, 10)
    assert data.train.x.dtype == np.uint8


def test_digits_fill_the_range_from_zero_to_one_when_scaled():
    train = load(Digits()).train
    assert train.x.min() * train.scale == 0.0
    assert train.x.max() * train.scale == 1.0


def test_the_split_of_digits_is_the_same_for_ever():
    data = load(Digits())
    assert data.train.labels[:10].tolist() == [2, 8, 2, 6, 6, 7, 1, 9, 8, 5]
    assert data.sha256.startswith("a08bb0d9")


def test_both_parts_of_digits_hold_every_class_in_like_number():
    data = load(Digits())
    for part in (data.train, data.test):
        shares = np.bincount(part.labels) / len(part)
        assert shares.min() > 0.06
        assert shares.max() < 0.14


def test_digits_need_scikit_learn_only_once_and_no_downloader():
    code = (
        "import sys, numpy; from initlab.data import Digits;"
        "print(Digits().load(numpy.random.default_rng(0)).sha256);"
        "print(*{'sklearn', 'pooch'} & set(sys.modules))"
    )
    first, second = (python(code).communicate()[0].splitlines() for _ in range(2))
    assert "sklearn" in first[1]
    assert second == [first[0], ""]


def test_an_own_set_is_read_from_root(root):
    data = load_set(root)
    np.testing.assert_array_equal(data.train.x, images(6).reshape(6, 20))
    np.testing.assert_array_equal(data.test.x, images(4).reshape(4, 20))
    assert data.test.labels.tolist() == [0, 1, 2, 0]
    assert (data.features, data.classes, data.train.scale) == (20, 3, 1 / 255)


def test_initlab_data_names_the_parent_of_the_folder(tmp_path, monkeypatch):
    write_set(tmp_path / "all" / "mine", train=9)
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "all"))
    assert len(load(IdxFiles("mine")).train) == 9


def test_root_outranks_initlab_data(tmp_path, root, monkeypatch):
    write_set(tmp_path / "all" / "own", train=9)
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "all"))
    assert len(load_set(root).train) == 6


def test_without_either_the_folder_is_in_the_users_cache(tmp_path):
    assert IdxFiles("mnist").folder() == tmp_path / "cache" / "initlab" / "mnist"


@pytest.mark.parametrize("make", [Digits, lambda **options: IdxFiles("own", **options)])
def test_train_size_takes_the_first_examples_and_leaves_the_test_set(make, tmp_path, monkeypatch):
    write_set(tmp_path / "all" / "own")
    monkeypatch.setenv("INITLAB_DATA", str(tmp_path / "all"))
    whole, part = load(make()), load(make(train_size=2))
    np.testing.assert_array_equal(part.train.x, whole.train.x[:2])
    np.testing.assert_array_equal(part.train.labels, whole.train.labels[:2])
    assert len(part.test) == len(whole.test)
    assert (part.classes, part.sha256) == (whole.classes, whole.sha256)


@pytest.mark.parametrize(
    ("share", "train_size", "kept"),
    [(0.0, 6, 6), (0.5, 6, 3), (0.25, None, 4), (0.01, 6, 5), (0.99, 6, 1), (0.5, 2, 1)],
)
def test_a_share_of_the_training_examples_is_held_out_from_their_end(root, share, train_size, kept):
    everything = load_set(root, train_size=train_size)
    data = load_set(root, train_size=train_size, validation=share)
    assert len(data.train) == kept
    rejoined = np.concatenate([data.train.x, data.validation.x])
    assert np.array_equal(rejoined, everything.train.x)
    labels = np.concatenate([data.train.labels, data.validation.labels])
    assert np.array_equal(labels, everything.train.labels)
    assert np.array_equal(data.test.x, everything.test.x)
    assert data.sha256 == everything.sha256


def test_one_training_example_cannot_be_held_out(root):
    message = refusal(IdxFiles("own", root=str(root), train_size=1, validation=0.5))
    assert message == ("data.validation must be 0 where there is but one training example; got 0.5")


def test_more_training_examples_than_there_are_is_refused_with_their_number(root):
    message = refusal(IdxFiles("own", root=str(root), train_size=7))
    assert "data.train_size must be at most 6" in message
    assert "got 7" in message


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Digits(train_size=0), "train_size must be at least 1; got 0"),
        (lambda: IdxFiles("own", train_size=-1), "train_size must be at least 1; got -1"),
        (lambda: Digits(validation=1.0), "validation must be at least 0 and less than 1; got 1.0"),
        (lambda: IdxFiles("own", validation=-0.1), "validation must be at least 0 and less than"),
        (lambda: IdxFiles("own", timeout=0.0), "timeout must be greater than 0; got 0.0"),
        (lambda: IdxFiles("a/b"), "name must be the name of a folder; got 'a/b'"),
        (lambda: IdxFiles(""), "name must be the name of a folder; got ''"),
        (lambda: IdxFiles("own", mirrors=[NOBODY]), "sha256 must have a hash for train-images"),
        (lambda: Gaussian(samples=0), "samples must be at least 1; got 0"),
        (lambda: Gaussian(features=0), "features must be at least 1; got 0"),
        (lambda: Gaussian(classes=0), "classes must be at least 1; got 0"),
    ],
)
def test_a_bad_value_is_refused_where_it_is_made(make, message):
    with pytest.raises(ValueError, match="^" + message):
        make()


def test_a_failed_download_says_which_files_to_put_where():
    dataset = load_option("data", "mnist")
    dataset.mirrors = [NOBODY]
    message = refusal(dataset)
    assert f"{NOBODY}{TRAIN_IMAGES}" in message
    assert f"Put these four files into {dataset.folder()}:" in message
    assert all(f"\n  {file}\n" in message for file in idx.FILES)
    assert all(way in message for way in ["data.root", "INITLAB_DATA", "data=digits"])


def test_a_damaged_file_in_the_cache_is_to_be_deleted_and_downloaded_again():
    dataset = load_option("data", "mnist")
    path = write_set(dataset.folder()) / TEST_LABELS
    path.write_bytes(path.read_bytes()[:-9])
    message = refusal(dataset)
    assert message.startswith(str(path))
    assert "Delete the file and run again: it will be downloaded afresh." in message


def test_a_damaged_file_of_ones_own_is_to_be_replaced(root):
    (root / TEST_LABELS).write_bytes(b"")
    assert "Replace the file" in refusal(IdxFiles("own", root=str(root)))


def test_the_second_load_maps_what_the_first_decoded(root, monkeypatch):
    first = load_set(root)
    forbid_decoding(monkeypatch)
    second = load_set(root)
    for part in ("train", "test"):
        before, after = getattr(first, part), getattr(second, part)
        np.testing.assert_array_equal(before.x, after.x)
        np.testing.assert_array_equal(before.labels, after.labels)
        assert is_mapped(after.x)
        assert type(after.x) is np.ndarray
        assert not after.x.flags.writeable
    assert first.sha256 == second.sha256


def test_a_changed_file_is_decoded_again_and_the_old_arrays_dropped(root, own_cache):
    before = load_set(root)
    pack(root / TRAIN_IMAGES, images(6)[::-1])
    os.utime(root / TRAIN_IMAGES, ns=(0, 0))
    after = load_set(root)
    np.testing.assert_array_equal(after.train.x, before.train.x[::-1])
    assert after.sha256 != before.sha256
    assert len(list(own_cache.glob("own-*/*"))) == 1


def test_sets_of_one_name_in_two_folders_are_cached_apart(tmp_path, root, monkeypatch):
    write_set(tmp_path / "other", train=9)
    sizes = [len(load_set(folder).train) for folder in (root, tmp_path / "other")]
    forbid_decoding(monkeypatch)
    assert [len(load_set(folder).train) for folder in (root, tmp_path / "other")] == sizes == [6, 9]


def test_the_same_contents_have_the_same_hash_wherever_they_lie(tmp_path, root):
    assert load_set(root).sha256 == load_set(write_set(tmp_path / "copy")).sha256


DAMAGE = {
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "cut in the header": lambda path: path.write_bytes(path.read_bytes()[:99]),
    "another array": lambda path: np.save(path, np.arange(6.0)),
    "another record": lambda path: np.save(path, np.zeros(2, "u1, f8")),
    "pickled": lambda path: np.save(path, np.array([None])),
    "words": lambda path: path.write_text("[1]"),
    "gone": Path.unlink,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_cache_is_decoded_again_and_mended(root, own_cache, damage, monkeypatch):
    before = load_set(root)
    [file] = own_cache.glob("own-*/*.npy")
    DAMAGE[damage](file)
    after = load_set(root)
    np.testing.assert_array_equal(after.train.x, images(6).reshape(6, 20))
    assert after.sha256 == before.sha256
    forbid_decoding(monkeypatch)
    assert is_mapped(load_set(root).train.x)


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, root, monkeypatch, caplog):
    cached = load_set(root)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with caplog.at_level(logging.WARNING):
        data = load_set(root)
    np.testing.assert_array_equal(data.train.x, cached.train.x)
    assert data.sha256 == cached.sha256
    assert not data.train.x.flags.writeable
    [record] = caplog.records
    assert "cannot write the cache" in record.message
    assert "\n" not in record.message


def test_arrays_too_large_for_a_record_stay_in_memory(root, monkeypatch, caplog):
    def too_large(*_):
        np.dtype([("x", np.uint8, (1 << 31,))])

    monkeypatch.setattr(cache, "_store", too_large)
    data = load_set(root)
    assert (len(data.train), is_mapped(data.train.x)) == (6, False)
    assert "cannot write the cache (invalid shape" in caplog.text


def test_a_process_that_finds_the_work_done_by_another_leaves_a_sound_cache(
    root, own_cache, monkeypatch
):
    read_set = idx.read_set

    def overtaken(folder):
        monkeypatch.setattr(idx, "read_set", read_set)
        assert is_mapped(load_set(root).train.x)
        return read_set(folder)

    monkeypatch.setattr(idx, "read_set", overtaken)
    assert is_mapped(load_set(root).train.x)
    assert len(list(own_cache.glob("own-*/*"))) == 1
    assert len(list(own_cache.iterdir())) == 1  # no scratch folder is left
    forbid_decoding(monkeypatch)
    assert is_mapped(load_set(root).train.x)


def test_two_processes_may_decode_at_once(root, own_cache):
    code = (
        "import numpy; from initlab.data import IdxFiles;"
        f"data = IdxFiles('own', root={str(root)!r}).load(numpy.random.default_rng(0));"
        "print(data.sha256, data.train.x.sum())"
    )
    both = [python(code) for _ in range(2)]
    answers = [process.communicate() for process in both]
    data = load_set(root)
    assert answers == [(f"{data.sha256} {data.train.x.sum()}\n", "")] * 2
    assert len(list(own_cache.iterdir())) == 1


def test_gaussian_inputs_are_standard_normal_and_unlabelled():
    data = load(Gaussian(samples=2000, features=50, classes=7))
    x = data.train.x
    assert (x.shape, x.dtype, data.train.scale) == ((2000, 50), np.float64, 1.0)
    assert abs(x.mean()) < 4 / np.sqrt(x.size)
    assert abs(x.var() - 1) < 4 * np.sqrt(2 / x.size)
    assert data.train.labels is None
    assert (len(data.test), data.features, data.classes) == (0, 50, 7)


def test_gaussian_inputs_are_drawn_from_the_generator_given():
    first, again, other = (Gaussian().load(np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.train.x, again.train.x)
    assert first.sha256 == again.sha256 != other.sha256


@pytest.mark.parametrize(
    ("name", "made"),
    [("digits", Digits()), ("gaussian", Gaussian()), ("mnist", None), ("fashion_mnist", None)],
)
def test_each_yaml_file_makes_its_data_set(name, made):
    dataset = load_option("data", name)
    if made is None:
        assert (dataset.name, dataset.root, len(dataset.mirrors)) == (name, None, 2)
    else:
        assert dataset == made


@published
@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
def test_the_hashes_in_conf_are_those_of_the_published_files(name):
    for file, sha256 in load_option("data", name).sha256.items():
        content = Path(PUBLISHED, name, file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == sha256


@published
@pytest.mark.parametrize(
    ("name", "first"), [("mnist", [5, 0, 4, 1, 9]), ("fashion_mnist", [9, 0, 0, 3, 0])]
)
def test_the_published_sets_have_their_published_sizes(name, first, monkeypatch):
    monkeypatch.setenv("INITLAB_DATA", PUBLISHED)
    data = load(load_option("data", name))
    assert (data.train.x.shape, data.test.x.shape) == ((60000, 784), (10000, 784))
    assert (data.features, data.classes) == (784, 10)
    assert data.train.labels[:5].tolist() == first
    assert np.bincount(data.test.labels).sum() == 10000
    assert data.train.x.max() * data.train.scale == 1.0
