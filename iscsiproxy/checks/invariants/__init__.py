"""The rules of the standard that always hold, one family a module.

Ids are T-… for rules that judge the target and I-… for those that judge the initiator.
"""

from __future__ import annotations

__all__: list[str] = []
