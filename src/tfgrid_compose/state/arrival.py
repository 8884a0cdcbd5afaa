"""The end of an import that took the place of an empty state.

The database comes with a note of what has still to follow it: anchor, audit entry, machines that stay elsewhere. So that is
done whatever cuts the import off: by the import itself, else by the next command that opens the database.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection
from typing import TYPE_CHECKING

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.state import backups, watermark

if TYPE_CHECKING:
    from tfgrid_compose.state.store import Store
    from tfgrid_compose.state.vault import Vault

_FACT, _PURPOSE = "import-unfinished", "import"
# Secrets that belong to machines.
_OF_MACHINES = ("tfstate", "provider-state", "wireguard")


def noted(database: bytes, vault: Vault, source: object, emptied: Collection[str]) -> bytes:
    """The database with the note, under a code that needs the key; newer than the one beside this key. Raises `StateError`."""
    text = json.dumps({"source": source, "emptied": sorted(emptied)})
    with contextlib.closing(backups.in_memory(database)) as db:
        note = f"{vault.code(_PURPOSE, text.encode()).hex()}\n{text}"
        db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (_FACT, note))
        watermark.count(db, beyond=watermark.read(vault.folder))
        return bytes(db.serialize())


def finish(store: Store) -> None:
    """Do what the note says, when there is one that we wrote; doing it twice does no harm. Raises `TfgridError`."""
    code, _, text = (store.fact(_FACT) or "").partition("\n")
    if not text:
        return
    try:
        ours = store.vault.exists() and store.vault.fits(_PURPOSE, text.encode(), bytes.fromhex(code))
    except ValueError:
        ours = False
    if ours:
        note = json.loads(text)
        empty(store, note["emptied"])
        store.accept_secrets()
        store.anchor_audit_anew()
        store.append_audit(action="state import", whole=True, source=note["source"])
    with store.write() as db:
        db.execute("DELETE FROM meta WHERE key = ?", (_FACT,))


def finish_if_possible(store: Store) -> None:
    """The same at the start of any command, as far as it needs no passphrase; what fails is tried by the next one."""
    if store.fact(_FACT) and not store.vault.file.asks():
        with contextlib.suppress(TfgridError):
            finish(store)


def empty(store: Store, ids: Collection[str]) -> list[str]:
    """Forget the machines of deployments that stand on another computer; returns their names.

    Their contracts mean nothing here, or something else. `up` builds them anew, with the same keys, values and releases.
    """
    from tfgrid_compose.state.deployments import Deployment

    names = []
    for id in ids:
        found = store.deployment(id)
        data = {**found.data, "contracts": [], "machines": [], "gone": [], "buying": None}
        store.save(Deployment(id, found.name, found.network, "failed", found.created, 0.0, data))
        for secret in _OF_MACHINES:
            store.set_secret(id, secret, None)
        store.undo(id, *store.done(id))
        names.append(found.name)
    return names
