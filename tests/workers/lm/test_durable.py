"""Folders are whole or absent."""

import pytest

from workers.lm.durable import file_digest, folder_published, remove_folder

pytestmark = pytest.mark.nodb


def test_a_folder_appears_only_when_whole(tmp_path):
    target = tmp_path / "deep" / "target"
    with folder_published(target) as aside:
        (aside / "file").write_text("x")
        assert not target.exists()
    assert (target / "file").read_text() == "x"
    assert file_digest(target / "file").startswith("2d711642b726")
    with pytest.raises(OSError), folder_published(target) as aside:
        (aside / "file").write_text("y")
    assert (target / "file").read_text() == "x"
    assert [path.name for path in target.parent.iterdir()] == ["target"]
    remove_folder(target)
    assert list(target.parent.iterdir()) == []


def test_a_failure_leaves_nothing(tmp_path):
    with pytest.raises(RuntimeError), folder_published(tmp_path / "target") as aside:
        (aside / "file").write_text("x")
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
