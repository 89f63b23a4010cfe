"""The proof of the shipped scenarios: one module a folder of `faults/`; `proof` holds each to its promise."""
