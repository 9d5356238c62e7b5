"""Finds file systems that several machines share, on which a SQLite file must not lie.

In WAL mode its processes share memory, and locks of a network file system may be granted twice: the
file is destroyed in the end, silently (sqlite.org/wal.html, sqlite.org/howtocorrupt.html).
"""

import re
from collections.abc import Iterator
from pathlib import Path

MOUNTS = Path("/proc/self/mounts")
_SHARED = frozenset(
    {
        *("nfs", "nfs4", "cifs", "smb", "smb2", "smb3", "smbfs", "ncpfs", "afs", "coda", "9p"),
        *("ceph", "lustre", "gpfs", "beegfs", "orangefs", "glusterfs", "gfs2", "ocfs2", "davfs"),
        *("vboxsf", "prl_fs", "vmhgfs", "drvfs"),
    }
)
# Of the many kinds of FUSE, those that are another machine or a bucket.
_SHARED_FUSE = frozenset(
    {
        *("sshfs", "s3fs", "goofys", "rclone", "gcsfuse", "blobfuse", "blobfuse2", "glusterfs"),
        *("ceph", "ceph-fuse", "davfs2", "davfs", "juicefs", "mount-s3", "mountpoint-s3", "hdfs"),
        *("vmhgfs-fuse", "curlftpfs", "grpcfuse", "osxfs", "seaweedfs", "moosefs", "mfs"),
    }
)


def shared_by(path: Path, mounts: str | None = None) -> str:
    """The network file system that a path lies on, as the kernel names it; "" for a local one.

    `mounts` is text in the form of /proc/mounts; where there is none, nothing is known.
    """
    found = _kernel_mounts() if mounts is None else mounts
    kind = _kind_at(path.absolute().resolve(), found)
    is_shared = kind in _SHARED or kind.removeprefix("fuse.") in _SHARED_FUSE
    return kind if is_shared else ""


def _kernel_mounts() -> str:
    try:
        return MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _kind_at(path: Path, mounts: str) -> str:
    above = {path, *path.parents}
    found = [(len(p.parts), n, kind) for n, (p, kind) in enumerate(_mounted(mounts)) if p in above]
    # The innermost counts, and of several at one place the last, which covers the others.
    return max(found, default=(0, 0, ""))[2]


def _mounted(mounts: str) -> Iterator[tuple[Path, str]]:
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2:
            yield Path(_unescaped(fields[1])), fields[2]


def _unescaped(text: str) -> str:
    """The kernel writes blanks and backslashes in names as three octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
