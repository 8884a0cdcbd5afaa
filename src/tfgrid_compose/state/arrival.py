"""The end of an import that took the place of an empty state.

The database comes with a note of what has still to follow it: anchor, audit entry, machines that stay elsewhere. So that is
done whatever cuts the import off: by the import itself, else by the next command that opens the database.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection

from tfgrid_compose.errors import TfgridError
from tfgrid_compose.state import backups, watermark
from tfgrid_compose.state.audit import Audit
from tfgrid_compose.state.deployments import Deployment, Deployments
from tfgrid_compose.state.journal import Journal
from tfgrid_compose.state.releases import Releases
from tfgrid_compose.state.secrets import Secrets
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


class Arrival(Deployments, Journal, Releases, Secrets, Audit):
    """The part of the store that ends an import which was cut off."""

    def finish_arrival(self) -> None:
        """Do what the note says, when there is one that we wrote; doing it twice does no harm. Raises `TfgridError`."""
        code, _, text = (self.fact(_FACT) or "").partition("\n")
        if not text:
            return
        try:
            ours = self.vault.exists() and self.vault.fits(_PURPOSE, text.encode(), bytes.fromhex(code))
        except ValueError:
            ours = False
        if ours:
            note = json.loads(text)
            self.empty(note["emptied"])
            self.accept_secrets()
            self.anchor_audit_anew()
            self.append_audit(action="state import", whole=True, source=note["source"])
        with self.write() as db:
            db.execute("DELETE FROM meta WHERE key = ?", (_FACT,))

    def finish_arrival_if_possible(self) -> None:
        """The same at the start of any command, as far as it needs no passphrase; what fails is tried by the next one."""
        if self.fact(_FACT) and not self.vault.file.asks():
            with contextlib.suppress(TfgridError):
                self.finish_arrival()

    def empty(self, ids: Collection[str]) -> list[str]:
        """Forget the machines of deployments that stand on another computer; returns their names.

        Their contracts mean nothing here, or something else. `up` builds them anew, with the same keys, values and releases.
        """
        names = []
        for id in ids:
            found = self.deployment(id)
            data = {**found.data, "contracts": [], "machines": [], "gone": [], "buying": None}
            self.save(Deployment(id, found.name, found.network, "failed", found.created, 0.0, data))
            for secret in _OF_MACHINES:
                self.set_secret(id, secret, None)
            self.undo(id, *self.done(id))
            names.append(found.name)
        return names
