"""The lake: DuckLake over a SQL catalog. The only room that opens transactions on it."""
