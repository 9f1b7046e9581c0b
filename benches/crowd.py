"""The sleepers, five thousand of them."""

from benches._values import size
from benches.sleepers import bench

BENCH = bench("crowd", size(5000, quick=30), rounds=2)
