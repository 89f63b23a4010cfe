"""Tests of the workload: honest disks pass, lying ones are caught."""

from __future__ import annotations
