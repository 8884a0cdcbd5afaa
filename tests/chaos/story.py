"""A story: one thing after another on a bench, each of which may be disturbed; what must hold is looked at after each."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.chaos.bench import (
    FAILED,
    KILLED,
    NAME,
    OK,
    UNCHANGED,
    Bench,
    Operation,
    Outcome,
    deploy,
    go_back,
    go_on,
    look,
    put_back,
    remove,
    repair,
)
from tests.chaos.invariants import Broken, always, empty, fair, machine_of, much_later, settled
from tests.chaos.strikes import Strike
from tfgrid_compose.deploy.steps.layout import ROOT
from tfgrid_compose.errors import HookError, NotFoundError, TfgridError
from tfgrid_compose.state import backups

Watcher = Callable[[Outcome], None]


@dataclass
class Story:
    """What was told so far stands in `told`; every process is shown to `watch`."""

    bench: Bench
    watch: Watcher = lambda outcome: None
    told: list[str] = field(default_factory=list)

    # Commands

    def up(self, *strikes: Strike, **given: int) -> Outcome:
        """`up`, with options."""
        return self._told(f"up {given or ''}", deploy(**given), strikes, (HookError,), folder=True)

    def resume(self, *strikes: Strike) -> Outcome:
        """`up --resume`."""
        return self._told("resume", go_on(deploy()), strikes, (HookError, NotFoundError))

    def rollback(self, *strikes: Strike, with_data: bool = False) -> Outcome:
        """`rollback` to the release before."""
        name = "rollback --with-data" if with_data else "rollback"
        return self._told(name, go_back(with_data=with_data), strikes, (NotFoundError,))

    def repair(self, *strikes: Strike) -> Outcome:
        """`up --repair`."""
        return self._told("repair", repair, strikes, (NotFoundError,))

    def down(self, *strikes: Strike) -> Outcome:
        """`down`."""
        with much_later():
            outcome = self._run("down", remove, strikes)
        self._check(outcome, (NotFoundError,))
        if outcome.kind == OK:
            empty(self.bench)
        return outcome

    def look(self) -> None:
        """`drift` changes nothing, whatever it finds."""
        before = repr(self.bench.world)
        self._check(self._run("drift", look, ()), (NotFoundError,))
        if repr(self.bench.world) != before:
            raise Broken("to look at drift has changed something")

    def restore(self) -> bool:
        """`state restore` of the newest backup, where that would not forget what stands on the grid."""
        found = backups.newest_good()
        if found is None or not self._covers(found.content() or b""):
            return False
        self.bench.restored = True
        self._check(self._run("state restore", put_back, ()), ())
        return True

    def _covers(self, content: bytes) -> bool:
        with contextlib.closing(backups.in_memory(content)) as db:
            known = {row[0] for row in db.execute("SELECT id FROM deployments")}
        with self.bench.store() as store:
            remembered = {item.id for item in store.deployments()}
        standing = [contract.name for contract in self.bench.world.live()]
        return remembered <= known and all(any(id in name for id in known) for name in standing)

    # What users and the world do

    def write(self, version: int, broken: str = "") -> None:
        """The app folder is changed."""
        self.told.append(f"write {version} {broken}")
        self.bench.write(version, broken)

    def tamper(self) -> None:
        """Files of all releases on the machine are changed by hand."""
        self.told.append("tamper")
        for machine in self.bench.world.machines.values():
            for path in [path for path in machine.files if path.endswith("src/page.txt") and path.startswith(ROOT)]:
                machine.write(path, "tampered\n")

    def relink(self) -> None:
        """The link `current` is pointed elsewhere by hand."""
        self.told.append("relink")
        for machine in self.bench.world.machines.values():
            machine.files[f"{ROOT}/{NAME}/current"] = ("l", b"releases/elsewhere", 0o777)

    def no_tunnel(self) -> None:
        """The tunnel is taken down by hand."""
        self.told.append("no tunnel")
        self.bench.world.tunnels.clear()

    def no_machine(self) -> None:
        """The machine's contract is cancelled behind our back."""
        self.told.append("no machine")
        for contract in self.bench.world.live("vm"):
            self.bench.world.machines.pop(contract.id, None)
            contract.state = "Deleted"

    def reboot(self) -> None:
        """This computer is switched off and on."""
        self.told.append("reboot")
        self.bench.power_cut()

    # The end

    def finish(self) -> None:
        """Whatever has happened, an undisturbed `up` of a good version succeeds, and `down` leaves nothing."""
        self.write(self.bench.version + 1)
        outcome = self.up()
        if outcome.kind != OK:
            raise Broken(f"an undisturbed `up` of a new version: {outcome}")
        self.down()

    # Inside

    def _told(
        self, name: str, operation: Operation, strikes: tuple[Strike, ...], legitimate: tuple[type[TfgridError], ...],
        folder: bool = False,
    ) -> Outcome:  # fmt: skip
        outcome = self._run(name, operation, strikes)
        self._check(outcome, legitimate)
        if outcome.kind in (OK, UNCHANGED):
            settled(self.bench, again=folder)
        return outcome

    def _run(self, name: str, operation: Operation, strikes: tuple[Strike, ...]) -> Outcome:
        self.told.append(f"{name} {' '.join(map(str, strikes))}".strip())
        outcome = self.bench.run(operation, *strikes)
        self.told[-1] += f" -> {outcome}"
        self.watch(outcome)
        fair(outcome)
        always(self.bench)
        return outcome

    def _check(self, outcome: Outcome, legitimate: tuple[type[TfgridError], ...]) -> None:
        """Nothing fails without a reason that the story has given."""
        if outcome.kind != FAILED or outcome.process.struck:
            if outcome.kind == KILLED and not outcome.process.struck:
                raise Broken("a process died that nobody killed")
            return
        error = outcome.error
        expected = isinstance(error, legitimate) and (self.bench.broken or not isinstance(error, HookError))
        code = getattr(error, "code", "")
        expected = expected or code == "snapshot-unsupported" or (self.bench.restored and code == "release-damaged")
        if not expected:
            raise Broken(f"it failed without a reason: {outcome}") from error

    def machine_size(self) -> tuple[int, int, int] | None:
        """Cores, memory and disk of the machine; None when there is none."""
        if not self.bench.world.machines:
            return None
        machine = machine_of(self.bench)
        return machine.cpu, machine.memory, machine.disk
