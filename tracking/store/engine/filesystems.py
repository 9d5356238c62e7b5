"""Places where a SQLite file must not lie: disks of several machines, and mounts of one file.

In WAL mode the processes share memory, and a network file system may grant a lock twice: in the
end the file is destroyed, silently (sqlite.org/wal.html, sqlite.org/howtocorrupt.html).
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
# The kinds of FUSE whose files lie on another machine or in a bucket.
_SHARED_FUSE = frozenset(
    {
        *("sshfs", "s3fs", "goofys", "rclone", "gcsfuse", "blobfuse", "blobfuse2", "glusterfs"),
        *("ceph", "ceph-fuse", "davfs2", "davfs", "juicefs", "mount-s3", "mountpoint-s3", "hdfs"),
        *("vmhgfs-fuse", "curlftpfs", "grpcfuse", "osxfs", "seaweedfs", "moosefs", "mfs"),
    }
)


def shared_by(path: Path, mounts: str | None = None) -> str:
    """Returns the kernel's name of the network file system that a path lies on; "" if it is local.

    `mounts` is text in the form of /proc/mounts. Without it, or where the kernel has none, every
    path counts as local.
    """
    table = _kernel_mounts() if mounts is None else mounts
    kind = _kind_at(path.absolute().resolve(), table)
    is_shared = kind in _SHARED or kind.removeprefix("fuse.") in _SHARED_FUSE
    return kind if is_shared else ""


def is_mounted_alone(path: Path, mounts: str | None = None) -> bool:
    """Returns True if a path is a mount point itself, as a single file is that Docker mounts."""
    table = _kernel_mounts() if mounts is None else mounts
    file = path.absolute().resolve()
    return any(file == point for point, _ in _mounted(table))


def _kernel_mounts() -> str:
    try:
        return MOUNTS.read_text("utf-8", "surrogateescape")
    except OSError:
        return ""


def _kind_at(path: Path, mounts: str) -> str:
    above = {path, *path.parents}
    mounted = (
        (len(p.parts), n, kind) for n, (p, kind) in enumerate(_mounted(mounts)) if p in above
    )
    # The innermost counts, and of several at one place the last, which covers the others.
    return max(mounted, default=(0, 0, ""))[2]


def _mounted(mounts: str) -> Iterator[tuple[Path, str]]:
    for line in mounts.splitlines():
        fields = line.split(" ")
        if len(fields) > 2:
            yield Path(_unescaped(fields[1])), fields[2]


def _unescaped(text: str) -> str:
    """Returns a name with its blanks and backslashes, which the kernel writes in octal digits."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
