"""Conformance checks for environments and policies, and probe environments with known values."""

from jaxmarl.testing.conformance import INVARIANTS, check_env, check_registered
from jaxmarl.testing.policy import POLICY_INVARIANTS, check_policy

__all__ = ["INVARIANTS", "POLICY_INVARIANTS", "check_env", "check_policy", "check_registered"]
