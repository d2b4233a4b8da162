"""Benchmarks of speed: a run beside the rate of the bare model, and beside other libraries."""
