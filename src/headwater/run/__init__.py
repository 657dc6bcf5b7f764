"""Carrying out a plan: compute, commit, release, report."""
