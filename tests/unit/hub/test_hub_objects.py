"""Object ids are git's own: every expected value here was printed by git."""

from datetime import UTC, datetime

from testbed.hub import objects

FILES = {
    "a.txt": "ce013625030ba8dba906f756967f9e9ca394464a",
    "d.x/z": "e25f1814e51579d5f55c0f1fe0135ddb28a47f4a",
    "d/e/f": "c1b0730e0133447badcfd47fd144e254807b06e1",
}


def test_a_blob_has_the_id_that_git_gives_it() -> None:
    assert objects.blob_id(b"hello\n") == FILES["a.txt"]


def test_directories_have_the_ids_that_git_gives_them_also_when_names_sort_around_the_slash() -> None:
    assert objects.tree_ids(FILES) == {
        "": "a43c3f4f1a7d9e41c970fdb36e86fc6647f776e9",
        "d": "4f48123a6d687600d05a719e8950ac1165954e33",
        "d.x": "2dd821e08cc77fb93ebccea4dd6300846e324592",
        "d/e": "2561a62d4223eb7660d3b6b02b707048382f4019",
    }


def test_no_files_make_the_empty_tree() -> None:
    assert objects.tree_ids({}) == {"": "4b825dc642cb6eb9a060e54bf8d69288fbee4904"}


def test_a_commit_has_the_id_that_git_gives_it() -> None:
    commit = objects.commit_id(
        tree="a43c3f4f1a7d9e41c970fdb36e86fc6647f776e9",
        parents=(),
        author="alice",
        date=datetime(2026, 1, 5, 12, tzinfo=UTC),
        message="Add files\n\nBody text",
    )
    assert commit == "4ab3c0d5326900f1237b69ea467039aedafe11df"


def test_a_pointer_is_the_text_of_the_lfs_specification() -> None:
    assert objects.lfs_pointer("ab" * 32, 12) == (
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"ab" * 32 + b"\nsize 12\n"
    )
