"""Tests of the shadow disk: honest targets pass, lying ones are caught, and what is not known is said."""

from __future__ import annotations
