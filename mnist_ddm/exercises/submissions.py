"""What a class handed in: for each student a folder, a ZIP archive, or files with the student's name in front.

Nothing is unpacked onto the disk, links are not followed, and what no student writes is left out: hidden files, and
folders of virtual environments and caches.
"""

import os
import re
import stat
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from mnist_ddm.errors import InputError
from mnist_ddm.storage.door import open_file
from mnist_ddm.storage.names import inside

FILES_MOST, BYTES_MOST = 500, 2**25
"""Files and bytes that are read of one student."""
_LISTED_MOST = 2000
_FOREIGN = {"env", "venv", "site-packages", "node_modules"}
_FLAT = re.compile(r"(?P<student>.+?)_(?:LATE_)?\d+_\d+_(?P<file>.+)", re.DOTALL)
"""As Canvas names files: `lovelaceada_111_222_flow-1.py`."""

Place = Path | bytes
"""Where the content of a file is: on the disk, or here already, from an archive."""


@dataclass(frozen=True)
class Submission:
    """What one student gave.

    Attributes:
        student: the name.
        files: where each file is, by its path within what was given; those of an archive lie in a folder of its name.
    """

    student: str
    files: Mapping[Path, Place]


def submissions_in(folder: Path) -> tuple[list[Submission], list[str]]:
    """What each student gave, by name, and the files in the folder that are no student's.

    An archive that lies beside a folder of its name was unpacked into it. Tables are what grading itself writes.

    Raises:
        InputError: if there is no folder, or it cannot be read.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is not a folder; give the folder that holds one folder for each student")
    try:
        entries = sorted(entry for entry in folder.iterdir() if not entry.name.startswith((".", "__")))
    except OSError as error:
        raise InputError(f"{folder} cannot be read: {error.strerror}; give a folder that can") from error
    given = {f.name: {path: f / path for path in files_below(f)} for f in entries if f.is_dir()}
    unpacked, loose = set(given), []
    for file in (entry for entry in entries if not entry.is_dir()):
        if flat := _FLAT.fullmatch(file.name):
            given.setdefault(flat["student"], {})[Path(flat["file"])] = file
        elif file.suffix.lower() != ".zip":
            loose += [file.name] if file.suffix.lower() != ".csv" else []
        elif file.stem not in unpacked:
            given.setdefault(file.stem, {})[Path(file.name)] = file
    return [Submission(student, _with_members(files)) for student, files in sorted(given.items())], loose


def files_below(folder: Path) -> list[Path]:
    """The files that a student may have written, relative to the folder, the least deep first."""
    files: list[Path] = []
    ahead = [Path()]
    for here in ahead:  # which grows meanwhile
        entries: list[os.DirEntry[str]] = []
        with suppress(OSError), os.scandir(folder / here) as found:
            entries = sorted(found, key=lambda entry: entry.name)
        if here.parts and any(entry.name == "pyvenv.cfg" for entry in entries):
            continue
        folders = {e.name for e in entries if e.is_dir(follow_symlinks=False)}
        files += [here / e.name for e in entries if e.name not in folders and not e.name.startswith(".")]
        ahead += [here / e.name for e in entries if e.name in folders and not _is_foreign(e.name)]
        if len(files) >= _LISTED_MOST:
            break
    return files[:_LISTED_MOST]


def _is_foreign(folder: str) -> bool:
    return folder.startswith((".", "__")) or folder in _FOREIGN


def _with_members(files: Mapping[Path, Path]) -> dict[Path, Place]:
    """The same files, with the members of archives in their place."""
    places: dict[Path, Place] = {}
    for path, place in files.items():
        members = _members(path, place) if path.suffix.lower() == ".zip" and not place.is_symlink() else {}
        if members:
            places.update(members)
        else:
            places[path] = place
    return places


def _members(name: Path, archive: Path) -> dict[Path, bytes]:
    """The files in an archive, as many as one student may have; none if it cannot be read."""
    members: dict[Path, bytes] = {}
    left = BYTES_MOST
    try:
        with open_file(archive) as file, zipfile.ZipFile(file) as opened:
            for info in opened.infolist():
                path = _path_of(info, name)
                if path is not None and info.file_size <= left and len(members) < FILES_MOST:
                    with opened.open(info) as member:
                        members[path] = member.read(info.file_size)
                    left -= len(members[path])
    except Exception:  # damaged in any way, or encrypted
        return {}
    return members


def _path_of(info: zipfile.ZipInfo, archive: Path) -> Path | None:
    """Where a member lies in the folder of its archive; nowhere if it is no plain file that a student wrote."""
    *folders, file = info.filename.replace("\\", "/").split("/")
    plain = info.compress_type in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others unpack without a limit
    if not plain or stat.S_ISLNK(info.external_attr >> 16) or not file or file.startswith("."):
        return None
    if any(map(_is_foreign, folders)):
        return None
    try:
        return inside(archive, "/".join((*folders, file)))
    except InputError:
        return None
