"""The files connector: CSV, JSON lines and Parquet from local folders, plain or gzipped."""
