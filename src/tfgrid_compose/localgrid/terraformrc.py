"""For people who run terraform or tofu by hand against the local grid."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

from tfgrid_compose.drivers.process import python_module
from tfgrid_compose.state import paths

_PROVIDER = "threefoldtech/grid"
_SETTINGS = """disable_checkpoint = true
provider_installation {{
  dev_overrides {{
    "{provider}" = "{folder}"
  }}
  direct {{}}
}}
"""


def write_configuration() -> Path:
    """Write the plugin's launcher and a CLI configuration that overrides the provider with it."""
    folder = paths.private_dir(paths.state_dir() / "terraform-local")
    launcher = folder / "terraform-provider-grid"
    kept = {key: os.environ[key] for key in ("TFGRID_LOCALGRID", "TFGRID_LOCALGRID_ROOT") if key in os.environ}
    exports = "".join(f"export {key}={shlex.quote(value)}\n" for key, value in kept.items())
    command = f"exec {shlex.join(python_module('tfgrid_compose'))} localgrid provider\n"
    paths.private_file(launcher, f"#!/bin/sh\n{exports}{command}".encode())
    launcher.chmod(0o700)
    return paths.private_file(folder / "cli.tfrc", _SETTINGS.format(provider=_PROVIDER, folder=folder).encode())


def serve_plugin() -> None:
    """Serve the provider to the terraform that has spawned this process."""
    from tfgrid_compose.localgrid.engine import Engine
    from tfgrid_compose.localgrid.provider.app import LocalProvider
    from tfgrid_compose.localgrid.provider.server import serve

    def open_engine() -> Engine:
        engine = Engine()
        engine.ensure()
        return engine

    provider = LocalProvider(open_engine)
    try:
        serve(provider)
    finally:
        provider.close()
