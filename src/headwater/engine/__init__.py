"""Evaluating a query or a function, in DuckDB."""
