"""Runs a shell line on the machine with the environment of a release: `python3 -I -c TEXT ENVIRONMENT-FILE LINE`.

Each value arrives under its name as it was given; a shell that read the file would set names like UID anew.
"""

import os
import shlex
import sys

path, line = sys.argv[1:]
try:
    with open(path, encoding="utf-8", errors="surrogateescape") as file:
        os.environ.update(word.partition("=")[::2] for word in shlex.split(file.read()))
except FileNotFoundError:
    pass  # A command of the pattern can run before the first release.
os.execvp("bash", ["bash", "-c", line])
