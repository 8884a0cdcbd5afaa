"""What marks a contract as ours: a name that ends in a deployment's id, a project that names its app."""

from __future__ import annotations

import re

from tfgrid_compose.state.names import NAME

PROJECT = "tfgrid-compose"
_ID = re.compile(r"(?:^|_)([0-9a-f]{16})$")


def deployment_of(name: str) -> str:
    """The deployment's id that a workload's name ends in (`vm_0123456789abcdef`); empty when it is not ours."""
    found = _ID.search(name)
    return found[1] if found else ""


def app_of(project: str) -> str:
    """The app's name in a contract's project (`tfgrid-compose/my-app`); empty when it is none of ours, or no name of an app."""
    owner, _, app = project.partition("/")
    return app if owner == PROJECT and NAME.fullmatch(app) else ""
