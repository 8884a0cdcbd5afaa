"""The grid's provider as Terraform spawns it, with the habit that matters: subnets of networks stand in `state.json`.

`python -m tests.integration.spawned` loads that file from its working directory, serves the real provider's schema, and
saves the file when Terraform lets it go. A deployment whose network is not in it fails, as it does with the real one.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from tests.conformance.service import SchemaService
from tfgrid_compose.localgrid.provider.messages import message
from tfgrid_compose.localgrid.provider.server import serve
from tfgrid_compose.localgrid.provider.values import decode

FILE = Path("state.json")


class Remembering(SchemaService):
    """The schema's provider that remembers networks in a file."""

    def __init__(self) -> None:
        super().__init__()
        self.networks: dict[str, Any] = json.loads(FILE.read_text())["State"] if FILE.exists() else {}

    def apply(self, request: Any) -> Any:
        """Remember a network; refuse a deployment whose network nobody remembers."""
        planned, prior = decode(request.planned_state), request.prior_state
        if planned is not None and request.type_name == "grid_network":
            self.networks[planned["name"]] = {"Subnets": {str(node): "10.7.3.0/24" for node in planned["nodes"]}}
        if planned is not None and request.type_name == "grid_deployment" and planned["network_name"] not in self.networks:
            text = "couldn't deploy deployment with error: invalid ip range "
            return message("ApplyResponse", new_state=prior, diagnostics=[message("Diagnostic", severity=1, summary=text)])
        return super().apply(request)


def main() -> None:
    """Serve until Terraform says that it needs no more."""
    service = Remembering()
    serve(service)
    if not os.environ.get("TFGRID_TEST_FORGETS"):
        FILE.write_text(json.dumps({"State": service.networks}))


if __name__ == "__main__":
    main()
