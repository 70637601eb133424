"""Measurements, each a ratio against a named baseline or a count: `python -m benchmarks.<what> [--json]`."""
