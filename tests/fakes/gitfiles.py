"""What the real git says about the files of a folder, and random folders with ignore files to ask it about."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from random import Random

# Few names and many wildcards, so that patterns often mean something.
NAMES = (
    b"a",
    b"b",
    b"ab",
    b"a.b",
    b"b.log",
    b"foo",
    b"foob",
    b"x y",
    b"a ",
    b"!a",
    b"#a",
    b"\xc3\xbc",
    b"\xff",
    b"[a]",
    b"a\\b",
    b"-",
    b"A",
)
_SIGNS = (b"a", b"b", b"o", b"f", b".", b"*", b"*", b"**", b"/", b"/", b"?", b"[ab]", b"[!a]", b"[^b]", b"[a-o]", b"[]-]", b"[[:alpha:]]",
          b"[[:x:]]", b"[a", b"\\", b"\\*", b"\\/", b" ", b"\\ ", b"!", b"#", b"**/", b"/**", b"/**/", b"foo", b"\xc3\xbc", b"\xff", b"\r", b"-",
          b"[\\]]", b"[a/b]", b"[--0]", b"[[]", b"[[:]", b"[z-a]")  # fmt: skip
_USUAL = (b"*", b"!*/", b"!*.*", b"!.*", b"/*", b"a/", b"!a/", b"/a", b"a/*", b"!a/b", b"**/b", b"a/**", b"!a/**", b"a/**/b", b"foo*", b"foo**/b",
          b"*.log", b"!b.log", b"a ", b"a\\ ", b"\\!a", b"\\#a", b"#a", b"", b"!", b"/", b"//", b"!/", b"**", b"!**", b"a//", b"./a", b"a/../b",
          b"**/**/b", b"\xef\xbb\xbfa", b"a\0b", b"a\r", b"\xc3?", b"??", b"[!/]", b"x y/")  # fmt: skip

Files = dict[tuple[bytes, ...], bytes]


def random_files(chance: Random, ignore_file: bytes) -> Files:
    """{path: content}: files in a few folders, and ignore files beside some of them."""
    folders = [tuple(chance.choice(NAMES) for _ in range(chance.randrange(4))) for _ in range(chance.randrange(1, 6))]
    files: Files = {(*chance.choice(folders), chance.choice(NAMES)): b"" for _ in range(chance.randrange(1, 14))}
    files[(ignore_file,)] = random_rules(chance)
    for folder in folders:
        if chance.random() < 0.3:
            files[(*folder, ignore_file)] = random_rules(chance)
    return files


def random_rules(chance: Random) -> bytes:
    """An ignore file of a few lines."""
    return b"\n".join(_random_rule(chance) for _ in range(chance.randrange(1, 6))) + chance.choice((b"", b"\n"))


def _random_rule(chance: Random) -> bytes:
    if chance.random() < 0.4:
        return chance.choice(_USUAL)
    pattern = b"".join(chance.choice(_SIGNS) for _ in range(chance.randrange(1, 7)))
    return chance.choice((b"", b"", b"!")) + pattern


def write_files(folder: Path, files: Files) -> None:
    """Make the files; where one stands in the way of another's folder, the first one stays."""
    for parts, content in files.items():
        path = os.path.join(os.fsencode(folder), *parts)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "xb") as file:
                file.write(content)
        except (FileExistsError, NotADirectoryError, IsADirectoryError):
            continue


class Git:
    """The installed git, with a repository of its own beside the folders that it looks at."""

    def __init__(self, home: Path) -> None:
        self._home = home / "repository"
        self._run(home, "init", "--quiet", "--bare", str(self._home))

    def files(self, folder: Path, ignore_file: str) -> set[str]:
        """The files of a folder that git would take, with only the ignore files in the folder itself."""
        words = [
            f"--git-dir={self._home}",
            f"--work-tree={folder}",
            "ls-files",
            "-z",
            "-o",
            f"--exclude-per-directory={ignore_file}",
        ]
        return {os.fsdecode(name) for name in self._run(folder, *words).split(b"\0") if name}

    def _run(self, folder: Path, *words: str) -> bytes:
        env = {"PATH": os.environ["PATH"], "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull, "HOME": str(self._home)}
        return subprocess.run(["git", *words], cwd=folder, env=env, check=True, capture_output=True).stdout
