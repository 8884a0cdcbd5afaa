"""All texts that outside programs are known to write."""

from __future__ import annotations

from tests.unit.diagnosis.known_grid import GRID
from tests.unit.diagnosis.known_machines import MACHINES
from tests.unit.diagnosis.known_programs import PROGRAMS

KNOWN = [*GRID, *PROGRAMS, *MACHINES]
CASES = [(make, code, text) for make, code, texts in KNOWN for text in texts]
