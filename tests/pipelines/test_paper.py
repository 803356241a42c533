"""A page as PDF: printed where there is a browser, left out without one, and never half."""

import pytest

from pipelines.report import paper

PRINTS = """#!/bin/sh
for word; do
  case $word in --print-to-pdf=*) echo %PDF > "${word#*=}";; esac
done
"""


@pytest.fixture
def page(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("<p>page")
    return path


def with_browser(monkeypatch, tmp_path, script):
    browser = tmp_path / "browser"
    browser.write_text(script)
    browser.chmod(0o755)
    monkeypatch.setattr(paper, "BROWSERS", (str(browser),))


def test_a_page_is_printed_beside_it(page, monkeypatch, tmp_path):
    with_browser(monkeypatch, tmp_path, PRINTS)
    assert paper.write_pdf(page, "page.pdf") == "page.pdf"
    assert (tmp_path / "page.pdf").read_text() == "%PDF\n"


def test_without_a_browser_there_is_none_and_an_old_one_goes(page, monkeypatch, tmp_path):
    monkeypatch.setattr(paper, "BROWSERS", ("no-such-browser",))
    (tmp_path / "page.pdf").write_text("old")
    assert paper.write_pdf(page, "page.pdf") is None
    assert not (tmp_path / "page.pdf").exists()


@pytest.mark.parametrize("script", ["#!/bin/sh\nexit 1\n", "#!/bin/sh\nexit 0\n"])
def test_a_browser_that_fails_is_told_and_nothing_is_left(
    page, monkeypatch, tmp_path, script, capsys
):
    with_browser(monkeypatch, tmp_path, script)
    assert paper.write_pdf(page, "page.pdf") is None
    assert "page.pdf was not printed" in capsys.readouterr().err
    assert not list(tmp_path.glob("*.pdf*"))


COPIES = """#!/bin/sh
for word; do
  case $word in
    --print-to-pdf=*) target="${word#*=}";;
    file://*) cat "${word#file://}" > "$target";;
  esac
done
"""


def test_a_pdf_links_to_no_file_of_this_machine(page, monkeypatch, tmp_path):
    with_browser(monkeypatch, tmp_path, COPIES)
    kept = '<a href="https://x.org">x</a> <a href="#a">'
    page.write_text(f'<a class="x" href="run.html">run</a> {kept}')
    paper.write_pdf(page, "page.pdf")
    printed = (tmp_path / "page.pdf").read_text()
    assert printed == f'<a class="x">run</a> {kept}'
    assert not list(tmp_path.glob(".print*"))
