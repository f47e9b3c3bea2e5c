"""The data: examples to learn from, decoded once and taken in batches.

datasets  what `data=` chooses
idx       the files of MNIST
cache     arrays decoded once, memory-mapped from then on
batches   the order in which training sees the examples
arrays    the types of arrays
"""

from initlab.data.datasets import Data, DataError, Dataset, Digits, Gaussian, IdxFiles, Samples

__all__ = ["Data", "DataError", "Dataset", "Digits", "Gaussian", "IdxFiles", "Samples"]
