"""A member is one file: that of docs/add-a-member.md is found, checked and weighed as any other."""

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from cloudarb_lib.forecast import members
from cloudarb_lib.testing import a_panel, check_member, forecast_of

pytestmark = pytest.mark.fit

PAGE = Path(__file__).parents[2] / "docs" / "add-a-member.md"


@pytest.fixture
def found_with(tmp_path, monkeypatch):
    """What is found with one more file in the folder of members."""
    monkeypatch.setattr(members, "__path__", [*members.__path__, str(tmp_path)])

    def found(name, text):
        (tmp_path / f"{name}.py").write_text(text)
        monkeypatch.delitem(sys.modules, f"{members.__name__}.{name}", raising=False)
        return members.discover()

    yield found
    for file in tmp_path.glob("*.py"):
        sys.modules.pop(f"{members.__name__}.{file.stem}", None)


def example():
    return re.search(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL).group(1)


def test_the_member_of_the_page_is_found_keeps_the_rules_and_is_weighed(found_with, monkeypatch):
    before = list(members.discover())
    found = found_with("half_way_back", example())
    assert set(found) == {*before, "half_way_back"}
    check_member(found["half_way_back"])
    monkeypatch.setitem(members.MEMBERS, "half_way_back", found["half_way_back"])
    rng = np.random.default_rng(0)
    level = np.zeros((110, 20))
    for cell in range(1, 110):  # each price comes back by half
        level[cell] = 0.5 * level[cell - 1] + rng.normal(0, 0.1, 20)
    others = ("boosting", "meta_learner")
    forecast = forecast_of(a_panel(np.exp(level), kind="market"), leave_out=others)
    weight = forecast.weights.groupby("model")["weight"].mean()
    assert weight["half_way_back"] > 0.02
    assert weight.sum() == pytest.approx(1)


def test_two_members_of_one_name_are_refused(found_with):
    with pytest.raises(ValueError, match="two members have one name"):
        found_with("again", example().replace('"half_way_back"', '"last_value"'))


def test_every_path_that_the_page_names_is_there():
    text = PAGE.read_text()
    package = PAGE.parents[1] / "cloudarb_lib"
    for path in re.findall(r"`((?:forecast|members)/\w+\.py)`", text):
        file = package / path if path.startswith("forecast") else package / "forecast" / path
        assert file.exists(), path
    assert len(text.splitlines()) < 80  # one page
