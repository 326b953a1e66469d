import os

import pytest

from indexes.store.disks import network_disk

MOUNTS = """/dev/sda1 / ext4 rw 0 0
server:/home /home nfs4 rw 0 0
/dev/sdb1 /home/anna/disk ext4 rw 0 0
//nas/b /mnt/Fotos\\040\u2013\\0401998 cifs rw 0 0
me@box: /mnt/caf\udce9 fuse.sshfs rw 0 0
"""


@pytest.mark.parametrize(
    ("folder", "kind"),
    [
        ("/var/index", None),
        ("/home", "nfs4"),
        ("/home/anna/index", "nfs4"),
        ("/home/anna/disk/index", None),
        ("/homeless/index", None),
        ("/mnt/Fotos \u2013 1998/index", "cifs"),
        ("/mnt/caf\udce9/index", "fuse.sshfs"),
    ],
)
def test_the_file_system_of_a_folder(tmp_path, folder, kind):
    """The innermost mount decides, with any characters in its name."""
    mounts = tmp_path / "mounts"
    mounts.write_bytes(os.fsencode(MOUNTS))
    assert network_disk(folder, mounts) == kind


def test_without_a_list_of_mounts(tmp_path):
    assert network_disk(tmp_path, tmp_path / "missing") is None
