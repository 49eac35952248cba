"""Parts of `benchmarks/serving_faults.py`: the machines, the people who ask, what is told of it."""
