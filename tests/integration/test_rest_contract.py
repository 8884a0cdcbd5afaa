"""The local grid's REST API against gridproxy's contract: every operation, many requests, nothing but documented answers.

Requests are made up from the contract document, and so are the checks of what comes back. The seed is fixed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, settings
from schemathesis.checks import CheckContext
from schemathesis.core.failures import Failure
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    content_type_conformance,
    positive_data_acceptance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from tests.fakes.rows import SyntheticSource
from tfgrid_compose.localgrid.rest.app import create_app

pytestmark = pytest.mark.integration
DOCUMENT = json.loads((Path(__file__).parents[1] / "contracts" / "gridproxy-swagger.json").read_text())
# Where gridproxy answers with a 5xx that is no accident: a contract that is missing, a node that is down.
DOCUMENTED_5XX = ("contract not found", "cannot fetch statistics from node ", "cannot fetch GPU information from node ")
EXAMPLES = 12

schema = schemathesis.openapi.from_dict(DOCUMENT)
schema.app = create_app(SyntheticSource(60))


class _Accident(Failure):
    """A 5xx that no document knows."""


def only_documented_5xx(context: CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """A server error says one of the few things that the contract knows."""
    if response.status_code >= 500 and not response.json()["error"].startswith(DOCUMENTED_5XX):
        raise _Accident(operation=case.operation.label, title="undocumented 5xx", message=response.text)


def no_page_of_others(context: CheckContext, response: schemathesis.Response, case: schemathesis.Case) -> None:
    """No answer lets pages of other sites read it; gridproxy, which is public, lets all."""
    if "access-control-allow-origin" in response.headers:
        raise _Accident(operation=case.operation.label, title="CORS", message=str(response.headers))


CHECKS: list[Any] = [
    status_code_conformance, content_type_conformance, response_schema_conformance, response_headers_conformance,
    positive_data_acceptance, unsupported_method, allow_header_conformance, only_documented_5xx,
    no_page_of_others,
]  # fmt: skip


@schema.parametrize()
@settings(
    derandomize=True, max_examples=EXAMPLES, deadline=None, database=None, suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.generate],
)  # fmt: skip
def test_every_operation_answers_as_documented(case: schemathesis.Case) -> None:
    case.call_and_validate(checks=CHECKS)
