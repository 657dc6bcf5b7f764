"""Contracts: what a dataset's rows must be, and the SQL that holds them to it. Pure."""
