"""What nobody foresaw, in words: the reader gets a sentence, the trace goes to a file."""

import tempfile
import traceback
from pathlib import Path

from core.errors import DependencyError, PlatformError


def error_of(error: Exception) -> PlatformError:
    """The error as one of ours: the system's refusal of a path, else a fault of the code."""
    if isinstance(error, OSError):
        where = f" at {error.filename}" if error.filename else ""
        return DependencyError(
            "the system refused a file, a folder or a connection",
            found=f"{error.strerror or type(error).__name__}{where}",
            remedy="mend the path, its permissions or the room on the disk, and call again",
            code="system",
        )
    return PlatformError(
        "this should not have happened; it is a fault of the platform",
        found=type(error).__name__,
        remedy=f"report {_kept(error)}, which says where; what was done before stands",
        code="fault",
    )


def _kept(error: Exception) -> Path:
    """File with the trace: it may tell values, so it is for this user's eyes only."""
    with tempfile.NamedTemporaryFile(
        "w", prefix="throughline-", suffix=".txt", delete=False
    ) as file:
        file.writelines(traceback.format_exception(error))
    return Path(file.name)
