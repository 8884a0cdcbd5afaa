"""The provider that the gRPC service serves: accounts and resources of the local grid."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from tfgrid_compose.errors import GridError
from tfgrid_compose.localgrid import accounts
from tfgrid_compose.localgrid.engine import Engine
from tfgrid_compose.localgrid.provider.deployment import DeploymentResource
from tfgrid_compose.localgrid.provider.network import NetworkResource
from tfgrid_compose.localgrid.provider.server import Resource


class LocalProvider:
    """Opens the engine when Terraform first needs it, so that `validate` needs no root."""

    def __init__(self, open_engine: Callable[[], Engine]) -> None:
        self._open_engine = open_engine
        self._engine: Engine | None = None
        self._account = ""

    def configure(self, config: dict[str, Any]) -> None:
        """Take the account; on the local grid every phrase is one, made on first sight."""
        mnemonic = config.get("mnemonic")
        if not mnemonic:
            raise GridError("error creating threefold plugin client: mnemonic/seed is empty")
        self._account = accounts.digest(str(mnemonic))

    def resource(self, type_name: str) -> Resource:
        """The resource of a type name, on an engine that is up."""
        if not self._account:
            return _make(type_name, None, 0)
        if self._engine is None:
            self._engine = self._open_engine()
        return _make(type_name, self._engine, self._engine.ledger.twin(self._account))

    def close(self) -> None:
        """Close the engine if it was opened."""
        if self._engine is not None:
            self._engine.close()


def _make(type_name: str, engine: Engine | None, twin: int) -> Resource:
    """A resource; without an engine, as before `configure`, it can only validate."""
    if type_name == "grid_network":
        return NetworkResource(cast(Engine, engine), twin)
    return DeploymentResource(cast(Engine, engine), twin)
