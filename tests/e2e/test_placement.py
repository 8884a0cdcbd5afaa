"""Where machines are placed, and a node that turns out to be full: on real machines."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.e2e.conftest import Cli


def contracts(cli: Cli, name: str) -> list[dict[str, Any]]:
    """Contracts of one deployment that live on the grid."""
    id = json.loads(cli.run("inspect", name).stdout)["id"]
    return [item for item in json.loads(cli.run("localgrid", "status", "--json").stdout)["contracts"] if id in item["name"]]


def test_a_full_node_is_left_for_the_next_best_and_nothing_stays_on_it(
    cli: Cli, make_app: Callable[..., Path], removing: Callable[[str], str]
) -> None:
    name = removing("e2e-placement")
    folder = make_app(name)
    (explained,) = json.loads(cli.run("plan", str(folder), "--explain", "--json").stdout)["placement"]
    best, second = explained["node"]["id"], explained["next"][0]["id"]
    assert explained["looked_at"] == 6 and explained["node"]["score"] > explained["next"][0]["score"]
    cli.run("localgrid", "fault", "--no-capacity", "1", "--for", name)
    events = cli.events("up", str(folder), "--yes")
    (said,) = [event["text"] for event in events if event["event"] == "notice" and "can't take the machine" in event["text"]]
    assert said.startswith(f"node {best} can't take the machine: ") and said.endswith(f"; going on with node {second}")
    assert any("cancelling contract" in event["text"] for event in events if event["event"] == "step-progress")
    assert json.loads(cli.run("inspect", name).stdout)["data"]["nodes"] == {"vm": [second]}
    live = contracts(cli, name)
    assert [item["node"] for item in live if item["type"] == "vm"] == [second]
    assert best not in {item["node"] for item in live}
    assert cli.exec(name, "echo it runs") == "it runs"
    assert cli.events("up", str(folder), "--yes")[-1]["outcome"] == "unchanged", "it stays where it is"
    refused = cli.run("plan", str(folder), "--name", f"{name}-2", "--node", str(best), "--blacklist-node", f"{best}", code=7)
    assert f"node {best} " in refused.stderr and "it is on a blacklist" in refused.stderr
