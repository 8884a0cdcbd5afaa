"""The provider's gRPC service, and the two ways Terraform reaches it: attached or spawned."""

from __future__ import annotations

import json
import os
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import contextmanager
from typing import Any, Protocol

# Starting Terraform forks, and gRPC would comment on that on the user's terminal.
os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
os.environ.setdefault("GRPC_ENABLE_FORK_SUPPORT", "false")

import grpc

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.localgrid.provider.messages import message, parse
from tfgrid_compose.localgrid.provider.schema import RESOURCES, provider_block, resource_block
from tfgrid_compose.localgrid.provider.values import decode, encode

MAGIC_COOKIE = "d602bf8f470bc67ca7faa0386276bbdd4330efaf76d1a219cb4d6991ca9872b2"
ADDRESSES = ("registry.terraform.io/threefoldtech/grid", "registry.opentofu.org/threefoldtech/grid")
_ERROR = 1
_LIMIT = 64 << 20


class Resource(Protocol):
    """What the service needs of a resource; states and plans are dicts by attribute name."""

    def validate(self, config: dict[str, Any]) -> None:
        """Raise `TfgridError` for what the schema's validators can't see."""

    def create(self, planned: dict[str, Any]) -> dict[str, Any]:
        """Make it and return its state."""

    def read(self, state: dict[str, Any]) -> dict[str, Any] | None:
        """The state as it is now, None when it is gone."""

    def update(self, state: dict[str, Any], planned: dict[str, Any]) -> dict[str, Any]:
        """Change it in place and return its state."""

    def delete(self, state: dict[str, Any]) -> None:
        """Remove it; one that is gone is no error."""


class Provider(Protocol):
    """The grid behind the service."""

    def configure(self, config: dict[str, Any]) -> None:
        """Take the provider block's values."""

    def resource(self, type_name: str) -> Resource:
        """The resource of a type name."""


class Service:
    """Protocol 5, one method per call. Every failure becomes a diagnostic, never a broken call."""

    def __init__(self, provider: Provider) -> None:
        self._provider = provider

    def get_schema(self, _: Any) -> Any:
        """All schemas at once."""
        return message(
            "GetSchema",
            provider=message("Schema", version=0, block=provider_block().to_message()),
            resource_schemas={name: message("Schema", version=0, block=resource_block(name).to_message()) for name in RESOURCES},
            server_capabilities=message("ServerCapabilities", get_provider_schema_optional=True),
        )

    def prepare(self, request: Any) -> Any:
        """Fill the provider block's defaults; validate what is known."""
        config = decode(request.config) or {}
        for name in provider_block().attributes:
            rule = provider_block().extra(name).get("DefaultFunc")
            if config.get(name) is None and rule:
                config[name] = os.environ.get(rule["env"], rule["default"])
        found = [_diagnostic(problem.text, problem.path) for problem in provider_block().problems(config)]
        return message("PrepareResponse", prepared_config=encode(config), diagnostics=found)

    def validate(self, request: Any) -> Any:
        """Validators of the schema, then the resource's own."""
        config = decode(request.config)
        found = [_diagnostic(problem.text, problem.path) for problem in resource_block(request.type_name).problems(config)]
        if not found:
            self._provider.resource(request.type_name).validate(config)
        return message("DiagnosticsResponse", diagnostics=found)

    def upgrade(self, request: Any) -> Any:
        """States of older versions; the schema has only ever had version 0."""
        return message("UpgradeResponse", upgraded_state=encode(json.loads(request.raw_state.json)))

    def configure(self, request: Any) -> Any:
        """Take the provider block."""
        self._provider.configure(decode(request.config) or {})
        return message("DiagnosticsResponse")

    def read(self, request: Any) -> Any:
        """Refresh a resource; one that is gone is None, and Terraform plans it anew."""
        state = self._provider.resource(request.type_name).read(decode(request.current_state))
        return message("ReadResponse", new_state=encode(state), private=request.private)

    def plan(self, request: Any) -> Any:
        """Fill in defaults and computed values; nothing ever forces a replacement on the grid."""
        proposed, prior = decode(request.proposed_new_state), decode(request.prior_state)
        planned = None if proposed is None else resource_block(request.type_name).plan(proposed, prior)
        private = request.prior_private
        return message("PlanResponse", planned_state=encode(planned), planned_private=private, legacy_type_system=True)

    def apply(self, request: Any) -> Any:
        """Create, update or delete."""
        resource = self._provider.resource(request.type_name)
        prior, planned = decode(request.prior_state), decode(request.planned_state)
        try:
            if planned is None:
                resource.delete(prior)
                state = None
            else:
                planned = resource_block(request.type_name).wished(planned, decode(request.config) or {})
                state = resource.create(planned) if prior is None else resource.update(prior, planned)
        except TfgridError as error:
            # What exists stays in the state, so that a failed update is never forgotten.
            return message("ApplyResponse", new_state=encode(prior), diagnostics=[_diagnostic(_text(error))],
                           legacy_type_system=True)  # fmt: skip
        return message("ApplyResponse", new_state=encode(state), legacy_type_system=True)

    def validate_data(self, request: Any) -> Any:
        """There are no data sources, so Terraform never asks."""
        raise TfgridError(f"the local grid has no data source {request.type_name}")

    read_data = validate_data

    def import_state(self, request: Any) -> Any:
        """The real provider has no importer."""
        raise TfgridError(f"resource {request.type_name} doesn't support import")

    def stop(self, _: Any) -> Any:
        """Terraform asks to stop; calls in flight end by themselves."""
        return message("StopResponse")


_CALLS: dict[str, tuple[str, str, str]] = {
    "GetSchema": ("get_schema", "Empty", "GetSchema"),
    "PrepareProviderConfig": ("prepare", "PrepareRequest", "PrepareResponse"),
    "ValidateResourceTypeConfig": ("validate", "ValidateRequest", "DiagnosticsResponse"),
    "UpgradeResourceState": ("upgrade", "UpgradeRequest", "UpgradeResponse"),
    "Configure": ("configure", "ConfigureRequest", "DiagnosticsResponse"),
    "ReadResource": ("read", "ReadRequest", "ReadResponse"),
    "PlanResourceChange": ("plan", "PlanRequest", "PlanResponse"),
    "ApplyResourceChange": ("apply", "ApplyRequest", "ApplyResponse"),
    "ValidateDataSourceConfig": ("validate_data", "ValidateRequest", "DiagnosticsResponse"),
    "ReadDataSource": ("read_data", "ReadDataRequest", "ReadDataResponse"),
    "ImportResourceState": ("import_state", "ImportRequest", "ImportResponse"),
    "Stop": ("stop", "Empty", "StopResponse"),
}


def _text(error: TfgridError) -> str:
    return f"{error.what}: {error.why}" if error.why else error.what


def _diagnostic(summary: str, path: tuple[str | int, ...] = ()) -> Any:
    steps = [
        message("Step", attribute_name=part) if isinstance(part, str) else message("Step", element_key_int=part) for part in path
    ]
    attribute = message("AttributePath", steps=steps) if steps else None
    return message("Diagnostic", severity=_ERROR, summary=summary, attribute=attribute)


def _failed(response: str, text: str) -> Any:
    shown = text.encode(errors="replace").decode()
    return message(response, error=shown) if response == "StopResponse" else message(response, diagnostics=[_diagnostic(shown)])


def handler(service: Service, call: str) -> Callable[[bytes, Any], bytes]:
    """The bytes-to-bytes function of one call; any failure comes back as a diagnostic."""
    method, request, response = _CALLS[call]

    def answer(raw: bytes, _: Any) -> bytes:
        try:
            reply = getattr(service, method)(parse(request, raw))
        except TfgridError as error:
            reply = _failed(response, _text(error))
        except Exception as error:  # A provider that dies in mid-call tells the user nothing.
            reply = _failed(response, f"the local grid failed: {type(error).__name__}: {error}")
        data: bytes = reply.SerializeToString()
        return data

    return answer


def make_server(provider: Provider | Service, on_shutdown: Callable[[], None] = lambda: None) -> grpc.Server:
    """A gRPC server without a port yet, for a provider or for a whole service."""
    service = provider if isinstance(provider, Service) else Service(provider)
    options = [("grpc.max_receive_message_length", _LIMIT), ("grpc.max_send_message_length", _LIMIT)]
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=16), options=options)

    def shutdown(_: bytes, __: Any) -> bytes:
        on_shutdown()
        return b""

    unary = grpc.unary_unary_rpc_method_handler
    server.add_generic_rpc_handlers(
        (
            grpc.method_handlers_generic_handler("tfplugin5.Provider", {call: unary(handler(service, call)) for call in _CALLS}),
            grpc.method_handlers_generic_handler("plugin.GRPCController", {"Shutdown": unary(shutdown)}),
            grpc.method_handlers_generic_handler(
                "plugin.GRPCStdio", {"StreamStdio": grpc.unary_stream_rpc_method_handler(lambda *_: iter(()))}
            ),
        )
    )
    return server


@contextmanager
def attached(provider: Provider | Service) -> Iterator[dict[str, str]]:
    """Serve in this process; yields the environment that makes Terraform attach to it."""
    with tempfile.TemporaryDirectory(prefix="tfgrid-provider-") as folder:
        socket = os.path.join(folder, "s")
        server = make_server(provider)
        server.add_insecure_port(f"unix:{socket}")
        server.start()
        entry = {
            "Protocol": "grpc", "ProtocolVersion": 5, "Pid": os.getpid(), "Test": True,
            "Addr": {"Network": "unix", "String": socket},
        }  # fmt: skip
        try:
            yield {"TF_REATTACH_PROVIDERS": json.dumps({address: entry for address in ADDRESSES})}
        finally:
            server.stop(0.2).wait()


def serve(provider: Provider) -> None:
    """Run as a plugin that Terraform has spawned; returns when Terraform says so.

    grpcio can't check go-plugin's P-521 client certificate, so the socket stands in a folder that
    only its owner may enter, and TLS covers the server's side.
    """
    import signal
    import sys

    from tfgrid_compose.localgrid.provider.tls import server_credentials

    if os.environ.get("TF_PLUGIN_MAGIC_COOKIE") != MAGIC_COOKIE:
        sys.exit("This is a Terraform provider plugin. Run `tfgrid-compose localgrid terraform-rc` and use terraform or tofu.")
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; Terraform sends Stop instead.
    done = threading.Event()
    server = make_server(provider, done.set)
    with tempfile.TemporaryDirectory(prefix="tfgrid-provider-") as folder:
        socket, certificate = os.path.join(folder, "s"), ""
        if os.environ.get("PLUGIN_CLIENT_CERT"):
            certificate, credentials = server_credentials()
            server.add_secure_port(f"unix:{socket}", credentials)
        else:
            server.add_insecure_port(f"unix:{socket}")
        server.start()
        print(f"1|5|unix|{socket}|grpc|{certificate}", flush=True)
        done.wait()
        server.stop(0.2).wait()
