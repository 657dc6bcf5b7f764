"""Connectors: where datasets come from. One file each behind the protocol in `batch.py`."""
