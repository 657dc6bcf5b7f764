"""What tests of environments do with a made project, over and over."""

from __future__ import annotations

import headwater as hw


def opened(made, environment="prod"):
    return hw.open_project(made.folder, environment=environment)


def promote(made, environment="dev", **options):
    return opened(made).promote(environment, **options)


def ask(made, sql, environment="prod"):
    return opened(made, environment).query(sql).rows()


def did(report):
    """dataset -> what was done, for what was done."""
    return {str(s.dataset): s.action for s in report.steps if s.status == "done"}
