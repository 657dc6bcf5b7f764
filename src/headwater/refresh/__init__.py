"""Strategies: how a built table catches up with its inputs."""
