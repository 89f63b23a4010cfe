"""Measurements on real initiators and targets. Run from a checkout: `python -m benchmarks.relay --help`."""
