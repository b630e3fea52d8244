"""Which tests one worker runs: the whole of a file, and of a folder that shares something dear."""

from __future__ import annotations

from xdist.scheduler import LoadFileScheduling

# Its candidates are fitted once a process, by libraries that little else needs.
WHOLE_FOLDERS = ("tests/unit/training/",)


class WorkerShares(LoadFileScheduling):  # type: ignore[misc]
    """A file is never divided, as with ``--dist loadfile``; nor are some folders."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.split("::", 1)[0]
        return next((folder for folder in WHOLE_FOLDERS if file.startswith(folder)), file)
