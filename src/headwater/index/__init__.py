"""The index: what is remembered beside the lake, so that planning costs what has changed."""
