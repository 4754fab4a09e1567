"""`--only` and `--exclude` choose the children of a run, by name and by tag."""

from __future__ import annotations

import socket

import pytest

from integration.runs import Project, supervise

CHILDREN: dict[str, object] = {
    "db": {"run": "echo db", "tags": ["storage"]},
    "cache": {"run": "echo cache", "tags": ["storage", "fast"]},
    "web": {"run": "echo web", "tags": ["front", "fast"]},
    "worker": "echo worker",
}

CHOICES = [
    ([], "cache db web worker"),
    (["--only", "web"], "web"),
    (["--only", "web", "worker"], "web worker"),
    (["--only", "web", "--only", "db"], "db web"),
    (["--only=web"], "web"),
    (["--only", "storage"], "cache db"),
    (["--only", "fast", "db"], "cache db web"),
    (["--exclude", "web"], "cache db worker"),
    (["--exclude", "storage", "worker"], "web"),
    (["--exclude", "fast", "--exclude", "db"], "worker"),
    (["--only", "storage", "--exclude", "fast"], "db"),
    (["--exclude", "db", "--only", "storage", "web"], "cache web"),
]


@pytest.mark.parametrize(("words", "expected"), CHOICES)
def test_G8_names_and_tags_choose_children(project: Project, words: list[str], expected: str) -> None:
    project.write(supervise("up", CHILDREN, mode="wait-all-successful"))
    result = project.run("up", *words)
    assert result.code == 0, result.err
    assert sorted(result.out.split()) == expected.split()


def test_G8_a_chosen_child_that_ends_stops_only_the_chosen(project: Project) -> None:
    project.write(supervise("up", {"a": "exit 4", "b": "touch b.started", "c": "exec sleep 600"}))
    result = project.run("up", "--exclude", "b")
    assert result.code == 4
    assert not project.has("b.started")


def test_the_sockets_of_children_that_were_left_out_are_not_bound(project: Project) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        web = {"run": "echo web", "pass_tcp_socket": taken.getsockname()[1]}
        project.write(supervise("up", {"web": web, "worker": "echo worker"}))
        chosen = project.run("up", "--exclude", "web")
        assert (chosen.code, chosen.out) == (0, "worker\n")
        everything = project.run("up")
        assert everything.code == 121
        assert "Error listening" in everything.err
        assert everything.out == ""
