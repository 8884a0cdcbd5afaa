"""Ignore files at the top and further down: the files that go are the ones that the real git would take."""

from __future__ import annotations

import shutil
from pathlib import Path
from random import Random

from tests.fakes.gitfiles import Files, Git, random_files, write_files
from tests.fuzz.runner import Unclean
from tests.fuzz.target import Target
from tfgrid_compose.manifest.contents import IGNORE_FILES, contents


class Fuzz(Target):
    """`contents` beside `git ls-files`."""

    name, share = "gitrules", 2

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._git = Git(folder)

    def case(self, chance: Random) -> tuple[str, list[tuple[list[bytes], bytes]]]:
        file = chance.choice(IGNORE_FILES)
        return file, [(list(parts), text) for parts, text in random_files(chance, file.encode()).items()]

    def run(self, case: tuple[str, list[tuple[list[bytes], bytes]]]) -> None:
        file, listed = case
        files: Files = {tuple(parts): text for parts, text in listed if parts and all(parts)}
        root = self.folder / "app"
        root.mkdir()
        try:
            write_files(root, files)
            ours, gits = {entry.name for entry in contents(root).entries}, self._git.files(root, file)
        finally:
            shutil.rmtree(root)
        if (file.encode(),) in files and ours != gits:
            raise Unclean(f"only ours: {sorted(ours - gits)}, only git's: {sorted(gits - ours)}")
