"""The page to play with: it is written at once, and its formulas are checked in a browser (tests/browser)."""

import re
import sys

import pytest
import torch

from mnist_ddm import cli
from mnist_ddm.pages.play import MOST_CLUSTERS, STRATEGIES, directions, play_page
from mnist_ddm.systems.gaussian import GaussianPool


def test_the_page_holds_everything_and_asks_for_nothing():
    text = play_page()
    assert not re.search(r"(?:src|href)=\"(?!data:|#)", text)
    assert all(f'data-strategy="{name}"' in text for name in STRATEGIES)
    assert len(text.encode()) < 100_000
    assert play_page() == text


def test_experts_err_where_those_of_the_gaussian_system_do():
    pool = GaussianPool(torch.zeros(3, 2), torch.ones(3), torch.ones(3), expert_error=1.0)
    assert directions()[:3] == pool.error_directions.tolist()
    assert len(directions()) == MOST_CLUSTERS


def test_the_command_writes_it(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for argv, code in ((["play"], 0), (["play", "--out", "page.txt"], 2)):
        monkeypatch.setattr(sys, "argv", ["mnist-ddm", *argv])
        with pytest.raises(SystemExit) as end:
            cli.main()
        assert end.value.code == code
    assert (tmp_path / "play.html").read_text() == play_page()
    assert "must be a .html file" in capsys.readouterr().err
