"""Benchmarks of speed: what a run reaches of the bare model's rate, and beside its peers."""
