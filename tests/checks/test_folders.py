import subprocess

import pytest

from align.checks.machine import check_folder, check_folders


@pytest.fixture
def small_disk(tmp_path):
    """A file system of one megabyte, which only a privileged user can mount."""
    folder = tmp_path / "small"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)], capture_output=True)
    if mounted.returncode != 0:
        pytest.skip("needs the right to mount")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def test_a_folder_that_does_not_exist_is_judged_by_the_one_above_and_not_made(tmp_path):
    found = check_folder(tmp_path / "new" / "run", "output folder", 0, "")
    assert found.level == "ok"
    assert found.numbers["free_bytes"] > 0
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_written_is_broken(tmp_path):
    (tmp_path / "file").write_text("")
    found = check_folder(tmp_path / "file" / "run", "output folder", 0, "export HERE=there")
    assert (found.level, found.fix) == ("error", "export HERE=there")
    assert "Not a directory" in found.text


def test_a_full_disk_is_broken(small_disk):
    (small_disk / "full").write_bytes(bytes(2**20 - 4096 * 4))
    found = check_folder(small_disk / "run", "output folder", 0, "")
    assert found.level == "error"
    assert "is full" in found.text
    assert found.fix.startswith(f"du -xh -d 2 {small_disk}")


def test_a_disk_with_little_room_is_a_warning(tmp_path):
    found = check_folder(tmp_path, "model cache", 1e9, "export HF_HOME=there")
    assert (found.level, found.fix) == ("warning", "export HF_HOME=there")


def test_the_output_folder_and_the_cache_are_looked_at(tmp_path):
    assert [finding.check for finding in check_folders(tmp_path)] == ["disk", "disk"]
    assert str(tmp_path) in check_folders(tmp_path)[0].text
