"""Wanted against built: what is to be done, and why. Pure."""
