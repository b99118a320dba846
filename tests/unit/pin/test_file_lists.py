"""Which lists of files may be a model. The pod writes by them, so none may leave its directory or deceive a reader."""

import pytest

from holdfast.api.manifest import FILES_MAX, path_problem, paths_problem


@pytest.mark.parametrize(
    "path",
    [
        "config.json",
        "model-00001-of-00002.safetensors",
        "original/consolidated.00.pth",
        ".gitattributes",
        "with space.txt",
        "a...b/..c",
        "\u00e9.txt",
        "\u6a21\u578b.bin",
        "#?%41.txt",
        "x" * 255,
    ],
)
def test_ordinary_paths_are_fine(path: str) -> None:
    assert path_problem(path) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("", "not a relative path"),
        ("/etc/passwd", "not a relative path"),
        ("../escape", "'..' component"),
        ("a/../../escape", "'..' component"),
        ("a/./b", "'.'"),
        ("a//b", "empty"),
        ("a/", "empty"),
        ("..", "'..' component"),
        ("a\\b", "backslash"),
        ("a\x00b", "control"),
        ("a\nb", "control"),
        ("a\x7fb", "control"),
        ("a\x85b", "control"),
        ("gpj\u202e.exe", "invisible"),
        ("a\u200bb", "invisible"),
        ("a\ufeffb", "invisible"),
        ("a\u2028b", "invisible"),
        ("\udcff.bin", "invisible"),  # what Python makes of bytes that are not UTF-8
        ("e\u0301.txt", "normal form"),
        ("x" * 256, "longer than 255 bytes"),
        ("\u6a21" * 86, "longer than 255 bytes"),
        ("/".join(["x" * 100] * 6), "longer than 512"),
    ],
)
def test_paths_that_leave_deceive_or_do_not_fit_are_refused(path: str, problem: str) -> None:
    found = path_problem(path)
    assert found is not None
    assert problem in found
    assert found.isprintable()


@pytest.mark.parametrize(
    ("paths", "problem"),
    [
        ([], "no files"),
        (["a", "a"], "listed twice"),
        (["Model.bin", "model.bin"], "differ by case"),
        (["A/x", "a/y"], "differ by case"),
        (["STRASSE", "stra\u00dfe"], "differ by case"),
        (["a", "a/b"], "both a file and a directory"),
        (["a/b/c", "a/b"], "both a file and a directory"),
        (["ok", "../no"], "component"),
        ([str(number) for number in range(FILES_MAX + 1)], "10000 are the most"),
    ],
)
def test_lists_that_cannot_be_one_directory_everywhere_are_refused(paths: list[str], problem: str) -> None:
    found = paths_problem(paths)
    assert found is not None
    assert problem in found


def test_the_longest_list_is_fine() -> None:
    assert paths_problem([f"shards/{number}" for number in range(FILES_MAX)]) is None
